package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"selvage/encode"
)

// codedOrigin sends text in gzip, whatever it is asked for.
func (b *bench) codedOrigin(text string) {
	coded := string(encode.Append(nil, []byte(text), encode.Gzip, encode.Best))
	b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
		return replyText(coded, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/plain", "Content-Encoding: gzip"), nil
	}
}

// RFC 9110, section 8.4.1.3: x-gzip is gzip, and codings of codings are nobody's to undo here.
func TestNamesOfAnOriginsCoding(t *testing.T) {
	for _, c := range []struct {
		sent, accept, want string
		pending, varies    bool
	}{
		{"gzip", "gzip", "gzip", false, true},
		{"X-GZIP", "gzip, br", "x-gzip", false, true},
		{"x-gzip", "br", "", true, true},
		{"br", "gzip", "", true, true},
		{"gzip, br", "gzip", "gzip, br", false, false},
		{"compress", "gzip", "compress", false, false},
		{"dcz", "gzip", "dcz", false, false},
		{"identity", "br", "br", true, true},
	} {
		inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return replyText(text, "Cache-Control: max-age=100", "Content-Type: text/plain", "Content-Encoding: "+c.sent), nil
			}
			q := b.query("/a", "Accept-Encoding", c.accept)
			a := b.fill(q, nil, false)
			defer a.Release()
			got := a.Object.Choose(q, b.policy)
			if got.Coding != c.want || got.Pending != c.pending || got.Varies != c.varies {
				t.Errorf("%s to who accepts %s: coded %q, pending %v, varies %v", c.sent, c.accept, got.Coding, got.Pending, got.Varies)
			}
		})
	}
}

// What the origin has coded goes to who can take it as it is, and is decoded once for all others.
func TestAnOriginsCodingIsDecodedForWhoCannotTakeIt(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.codedOrigin(text)
		for _, row := range []struct {
			accept, coding, tag string
			final               bool
		}{
			{"gzip, br", "gzip", `"v1"`, true},
			{"gzip;q=0.1, br, identity", "gzip", `"v1"`, true},
			{"br", "", `W/"v1"`, false},
			{"br", "", `"v1~identity~`, true},
			{"gzip;q=0", "", `"v1~identity~`, true},
			{"", "", `"v1~identity~`, true},
			{"gzip", "gzip", `"v1"`, true},
		} {
			c, body := b.choose("/a", "Accept-Encoding", row.accept)
			if c.Coding != row.coding || c.Final != row.final || !strings.HasPrefix(c.ETag, row.tag) || body != text {
				t.Errorf("%q: coded %q, final %v, tag %s, right %v", row.accept, c.Coding, c.Final, c.ETag, body == text)
			}
			if names, _ := ParseVary(c.Head); len(names) == 0 && !c.AddVary {
				t.Errorf("%q: no Vary", row.accept)
			}
			synctest.Wait()
		}
		for _, f := range b.encoding.Meter.Stats().Flows {
			if f.Bodies > 0 {
				t.Errorf("%v was made of what is coded already", f.Coding)
			}
		}
	})
}

// A few bytes that decode to very many are not decoded to the end, and what was sent of them ends in an error. Room is given
// back.
func TestADecompressionBombIsCut(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.codedOrigin(strings.Repeat("\x00", 32<<20))
		q := b.query("/a")
		a := b.fill(q, nil, false)
		defer a.Release()
		c, err := b.Stream(a.Object, b.policy, a.Object.Choose(q, b.policy))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, newFollower(c.Body, nil))
		c.Release()
		if !errors.Is(err, encode.ErrTooLarge) || n > 16<<20 {
			t.Errorf("%d bytes and %v, want %v soon", n, err, encode.ErrTooLarge)
		}
		synctest.Wait()
		if !b.entries.TryAcquire(b.max) || !b.budget.TryAcquire(b.max) || !b.streams.TryAcquire(b.max) {
			t.Error("the budget was not given back")
		}
	})
}

// What is too large to be kept decoded is a window; who comes when its beginning is gone has a decoder of his own.
func TestALargeBodyIsDecodedAsItIsRead(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		var ten strings.Builder // times as large as when it is coded, about
		for _, c := range []byte(noise(100_000)) {
			ten.WriteString(strings.Repeat(string(rune('a'+c%16)), 10))
		}
		large := ten.String()
		b.codedOrigin(large)
		q := b.query("/a")
		a := b.fill(q, nil, false)
		defer a.Release()
		stream := func() (*follower, Choice) {
			c, err := b.Stream(a.Object, b.policy, a.Object.Choose(q, b.policy))
			if err != nil {
				t.Fatal(err)
			}
			return newFollower(c.Body, nil), c
		}
		first, c := stream()
		half := make([]byte, len(large)*3/4)
		if _, err := io.ReadFull(first, half); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, d := stream()
		if c.Body == d.Body {
			t.Error("the second reader follows a body whose beginning is gone")
		}
		for name, got := range map[string]*follower{"first": first, "second": second} {
			rest, err := io.ReadAll(got)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if whole := string(rest); whole != large && whole != large[len(half):] {
				t.Errorf("%s: %d bytes that are not the body's", name, len(whole))
			}
		}
		c.Release()
		d.Release()
	})
}

// Without room to decode, who can take the coded bytes still gets them; the other waits for it, and is told.
func TestNoRoomToDecode(t *testing.T) {
	for _, room := range []struct {
		of   string
		take func(b *bench) (giveBack func())
	}{
		{"decoders", func(b *bench) func() { return take(b.coders, leastCoders) }},
		{"what they give", func(b *bench) func() { return take(b.coded, b.max) }},
	} {
		inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
			b.codedOrigin(text)
			b.choose("/a", "Accept-Encoding", "gzip")
			synctest.Wait()
			giveBack := room.take(b)
			q := b.query("/a", "Accept-Encoding", "br")
			o, _ := b.look(q)
			begun := time.Now()
			if _, err := b.Stream(o, b.policy, o.Choose(q, b.policy)); !errors.Is(err, ErrBusy) || time.Since(begun) != budgetWait {
				t.Errorf("%s: error = %v after %v, want %v after %v", room.of, err, time.Since(begun), ErrBusy, budgetWait)
			}
			if c, body := b.choose("/a", "Accept-Encoding", "gzip"); c.Coding != "gzip" || body != text {
				t.Errorf("%s: coded %q, right %v", room.of, c.Coding, body == text)
			}
			time.AfterFunc(budgetWait/2, giveBack)
			if c, body := b.choose("/a", "Accept-Encoding", "br"); c.Coding != "" || body != text {
				t.Errorf("%s: with room in time: coded %q, right %v", room.of, c.Coding, body == text)
			}
		})
	}
}

// take has all of a semaphore taken, which nobody else uses.
func take(all *semaphore.Weighted, n int64) (giveBack func()) {
	if !all.TryAcquire(n) {
		panic("somebody else uses it")
	}
	return func() { all.Release(n) }
}

// Without room to encode, everybody gets what there is.
func TestNoRoomToEncode(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.choose("/a")
		synctest.Wait()
		giveBack := take(b.coded, b.max)
		if c, body := b.choose("/a", "Accept-Encoding", "br"); c.Coding != "" || !c.AddVary || body != text {
			t.Errorf("coded %q, Vary %v, right %v", c.Coding, c.AddVary, body == text)
		}
		giveBack()
		// What fills hold is not for codings, nor the other way round.
		defer take(b.budget, b.max)()
		if c, body := b.choose("/a", "Accept-Encoding", "br"); c.Coding != "br" || body != text {
			t.Errorf("beside fills: coded %q, right %v", c.Coding, body == text)
		}
	})
}
