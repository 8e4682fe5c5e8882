package cache

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"selvage/encode"
)

// text is worth encoding.
var text = strings.Repeat("a line of a text that says much the same again and again\n", 400)

// inWorkshop is inBubble for a policy that makes codings, and a workshop.
func inWorkshop(t *testing.T, purges Purges, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, purges, 4<<20)
		b.makeCodings()
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(text, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/plain"), nil
		}
		f(t, b)
	})
}

// makeCodings has the bench make codings, in haste and for keeps.
func (b *bench) makeCodings() {
	c := encode.DefaultConfig()
	b.policy.Codings = CompileCodings(&c)
	b.encoding = Encoding{new(encode.Meter), encode.NewWorkshop(encode.DefaultWorkshopConfig(), nil)}
}

// choose walks a request up to its representation, and reads that.
func (b *bench) choose(path string, fields ...string) (c Choice, body string) {
	b.t.Helper()
	q := b.query(path, fields...)
	o, release := b.fetch(q)
	defer release()
	return b.read(o, q)
}

// fetch walks a request up to its object. Call release when that was read.
func (b *bench) fetch(q *Query) (o *Object, release func()) {
	b.t.Helper()
	o, d := b.look(q)
	if d.Outcome == Hit {
		return o, func() {}
	}
	a := b.fill(q, o, d.Alone)
	if a.Err != nil {
		b.t.Fatal(a.Err)
	}
	return a.Object, a.Release
}

// read reads what is chosen of o for q, and decodes it.
func (b *bench) read(o *Object, q *Query) (c Choice, body string) {
	b.t.Helper()
	c, coded := b.readCoded(o, q)
	return c, b.decode(c.Coding, coded)
}

// readCoded reads what is chosen of o for q as a client gets it.
func (b *bench) readCoded(o *Object, q *Query) (c Choice, body []byte) {
	b.t.Helper()
	c = b.Choose(o, q, b.policy)
	if c.Pending {
		var err error
		if c, err = b.Stream(o, b.policy, c); err != nil {
			b.t.Fatal(err)
		}
		defer c.Release()
	}
	body, err := io.ReadAll(newFollower(c.Body, nil))
	if err != nil {
		b.t.Fatal(err)
	}
	return c, body
}

// decode has decoders of its own: those of package encode are kept, and one of zstd has a channel of the bubble it was made in.
func (b *bench) decode(coding string, body []byte) string {
	b.t.Helper()
	var plain io.Reader = bytes.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		plain, err = gzip.NewReader(plain)
	case "br":
		plain = brotli.NewReader(plain)
	case "zstd":
		plain, err = zstd.NewReader(plain, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := io.ReadAll(plain)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(all)
}

// work lets the workshop do what there is to do.
func work() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestACodingIsMadeOnceAndKept(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		for _, coding := range []string{"br", "gzip", "zstd", ""} {
			c, body := b.choose("/a", "Accept-Encoding", coding)
			if c.Coding != coding || body != text || c.Final != (coding == "") {
				t.Errorf("first %q: coded %q, final %v, right %v", coding, c.Coding, c.Final, body == text)
			}
		}
		work()
		for _, coding := range []string{"br", "gzip", "zstd"} {
			c, body := b.choose("/a", "Accept-Encoding", coding)
			if c.Coding != coding || body != text || !c.Final || c.Pending {
				t.Errorf("then %q: coded %q, final %v, right %v", coding, c.Coding, c.Final, body == text)
			}
			if got := c.Head.Get("Content-Encoding"); got != coding {
				t.Errorf("Content-Encoding = %q, want %q", got, coding)
			}
		}
		if n := b.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
		for _, f := range b.encoding.Meter.Stats().Flows {
			if f.Coding != encode.DCZ && f.Bodies != 1 {
				t.Errorf("%v at %v was made %d times, want once", f.Coding, f.Level, f.Bodies)
			}
		}
	})
}

func TestCodingsCountInMemory(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.choose("/a")
		synctest.Wait()
		plain := b.Bytes()
		b.choose("/a", "Accept-Encoding", "gzip")
		work()
		c, _ := b.choose("/a", "Accept-Encoding", "gzip")
		if got, want := b.Bytes()-plain, c.weight(); got != want || !c.Final {
			t.Errorf("the coding costs %d, want %d", got, want)
		}
	})
}

// However many clients wait for a coding, one encoder works for them, and each gets all of it.
func TestFollowersShareAnEncoder(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			slow := &trickle{ctx: ctx, steps: []string{text[:5000], text[5000:15000], text[15000:]}, every: time.Second}
			return reply(200, slow, -1, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/plain"), nil
		}
		var clients sync.WaitGroup
		for i := range 12 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond)
				coding := []string{"br", "gzip", "zstd", ""}[i%4]
				if c, body := b.choose("/a", "Accept-Encoding", coding); c.Coding != coding || body != text {
					t.Errorf("client %d, who wants %q: %q, right %v", i, coding, c.Coding, body == text)
				}
			})
		}
		clients.Wait()
		for _, f := range b.encoding.Meter.Stats().Flows {
			if f.Level == encode.Fast && f.Coding != encode.DCZ && f.Bodies != 1 {
				t.Errorf("%d encoders of %v", f.Bodies, f.Coding)
			}
		}
		if n := b.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

// What has come of a body can be read before the next of it comes.
func TestACodingIsFlushedInAPause(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			slow := &trickle{ctx: ctx, steps: []string{text[:5000], text[5000:]}, every: time.Minute}
			return reply(200, slow, -1, "Cache-Control: max-age=1000", "Content-Type: text/plain"), nil
		}
		q := b.query("/a", "Accept-Encoding", "gzip")
		a := b.fill(q, nil, false)
		defer a.Release()
		c, err := b.Stream(a.Object, b.policy, a.Object.Choose(q, b.policy))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		plain, err := encode.NewReader(newFollower(c.Body, nil), encode.Gzip, encode.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		begun, first := time.Now(), make([]byte, 5000)
		if _, err := io.ReadFull(plain, first); err != nil || string(first) != text[:5000] {
			t.Errorf("the first piece: %v", err)
		}
		if took := time.Since(begun); took > time.Minute+encodePause {
			t.Errorf("it took %v", took)
		}
		if rest, err := io.ReadAll(plain); err != nil || string(rest) != text[5000:] {
			t.Errorf("the rest: %v", err)
		}
	})
}

// What happens to an object while a coding of it is made decides whether there will be one.
func TestWhatIsPublished(t *testing.T) {
	for _, c := range []struct {
		rule   string
		happen func(b *bench, p *onePurge, o *Object)
		want   bool
	}{
		{"nothing happens", func(*bench, *onePurge, *Object) {}, true},
		{"a purge", func(_ *bench, p *onePurge, _ *Object) { p.at.Store(1) }, false},
		{"a 304", func(b *bench, _ *onePurge, o *Object) {
			m := *o.Meta
			b.freshen(o.freshened(&m, o.Variant), o)
		}, true},
		{"another response takes its place", func(b *bench, _ *onePurge, o *Object) {
			n := b.newObject(b.query("/a"), o.Meta, -1)
			n.Own.Body = bodyOf([]byte(text))
			b.offer(n)
			b.keep(n)
		}, false},
		{"it has to leave", func(b *bench, _ *onePurge, o *Object) { b.remove(o) }, false},
	} {
		p := &onePurge{}
		inWorkshop(t, p, func(t *testing.T, b *bench) {
			b.choose("/a")
			synctest.Wait()
			o, _ := b.look(b.query("/a"))
			c.happen(b, p, o)
			published := b.publish(o, &Representation{Coding: "br", Final: true, Body: bodyOf([]byte("coded")), sum: 1})
			if published != c.want {
				t.Errorf("%s: published %v, want %v", c.rule, published, c.want)
			}
			now, _, _ := b.Store.look(b.query("/a"), 0)
			if c.want && (now == nil || now.made(encode.Brotli) == nil) {
				t.Errorf("%s: there is none", c.rule)
			}
			if !c.want && now != nil && now.made(encode.Brotli) != nil {
				t.Errorf("%s: there is one", c.rule)
			}
		})
	}
}

// A 304 that changes fields changes them for every coding.
func TestA304FreshensCodings(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.choose("/a", "Accept-Encoding", "br")
		work()
		time.Sleep(200 * time.Second)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return reply(304, strings.NewReader(""), 0, "Cache-Control: max-age=100", `Etag: "v1"`, "X-New: yes"), nil
		}
		c, body := b.choose("/a", "Accept-Encoding", "br")
		if !c.Final || body != text || c.Head.Get("X-New") != "yes" || c.Head.Get("Content-Encoding") != "br" {
			t.Errorf("final %v, right %v, head %q", c.Final, body == text, c.Head.Block())
		}
	})
}

func TestWhatDoesNotHelpIsNotTriedAgain(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		noise := noise(4000)
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText(noise, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/plain"), nil
		}
		b.choose("/a", "Accept-Encoding", "gzip")
		work()
		c, body := b.choose("/a", "Accept-Encoding", "gzip")
		if c.Coding != "" || c.Pending || !c.AddVary || c.ETag != `"v1"` || body != noise {
			t.Errorf("%q, pending %v, Vary %v, tag %s", c.Coding, c.Pending, c.AddVary, c.ETag)
		}
	})
}

// A queue that is full is asked again, but not with every request.
func TestACodingMadeInHasteIsImprovedLater(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		full := b.encoding.Workshop
		b.encoding.Workshop = nil
		b.choose("/a", "Accept-Encoding", "gzip")
		synctest.Wait()
		b.encoding.Workshop = full
		q := b.query("/a", "Accept-Encoding", "gzip")
		o, _ := b.look(q)
		c := o.Choose(q, b.policy)
		if c.Final || c.Pending {
			t.Fatalf("final %v, pending %v: want the one made in haste", c.Final, c.Pending)
		}
		b.Improve(o, b.policy, c, b.clock.Now().Mono)
		work()
		if c, body := b.choose("/a", "Accept-Encoding", "gzip"); !c.Final || body != text {
			t.Errorf("final %v, right %v", c.Final, body == text)
		}
	})
}

// What waits for the workshop keeps no body from leaving memory: a queue of large ones would be many times the tier's size.
func TestAQueueHoldsNoBodies(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		gate := make(chan struct{})
		b.encoding.Workshop.Do("first", func(context.Context, *encode.Pace) { <-gate })
		gone := func() weak.Pointer[Body] {
			b.choose("/gone", "Accept-Encoding", "br")
			b.choose("/stays", "Accept-Encoding", "br")
			synctest.Wait()
			o, _ := b.look(b.query("/gone"))
			b.remove(o)
			return weak.Make(o.Own.Body)
		}()
		for range 10 {
			runtime.GC()
		}
		if gone.Value() != nil {
			t.Error("the body is still there")
		}
		close(gate)
		work()
		if c, body := b.choose("/stays", "Accept-Encoding", "br"); !c.Final || body != text {
			t.Errorf("of what stayed: final %v, right %v", c.Final, body == text)
		}
		if n := b.made(); n != 3 { // two in haste, one to keep
			t.Errorf("%d codings were made, want 3", n)
		}
	})
}

// A coding of what is too large to be kept ends with its last reader, and so does the fetch: that much the same again and again
// is small when it is encoded does not make it a body to keep.
func TestACodingOfWhatIsNotKeptEndsWithItsReaders(t *testing.T) {
	for _, coding := range []string{"br", "gzip", "zstd"} {
		inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
			endless := &again{left: 64 << 20}
			b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
				return reply(200, endless, -1, "Cache-Control: max-age=100", "Content-Type: text/plain"), nil
			}
			q := b.query("/a", "Accept-Encoding", coding)
			a := b.fill(q, nil, false)
			c, err := b.Stream(a.Object, b.policy, b.Choose(a.Object, q, b.policy))
			if err != nil {
				t.Fatal(err)
			}
			c.Release()
			a.Release()
			synctest.Wait()
			if endless.left == 0 {
				t.Errorf("%s: the origin was read to its end for nobody", coding)
			}
		})
	}
}

// again is much the same again and again.
type again struct{ left int }

func (a *again) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), a.left)], text)
	if a.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// However many bodies come slowly at once, encoders do not take all memory: what finds no room goes out plain, and the room comes
// back.
func TestEncodersThatWorkAtOnceAreBounded(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		b.origin = func(ctx context.Context, _ int64, _ *Meta) (*http.Response, error) {
			slow := &trickle{ctx: ctx, steps: []string{text}, every: time.Second}
			return reply(200, slow, -1, "Cache-Control: max-age=100", "Content-Type: text/plain"), nil
		}
		const most = leastCoders / encode.FastRoom
		for n := range most + 2 {
			q := b.query("/"+strconv.Itoa(n), "Accept-Encoding", "br")
			a := b.fill(q, nil, false)
			c, err := b.Stream(a.Object, b.policy, b.Choose(a.Object, q, b.policy))
			if want := n < most; err != nil || (c.Coding == "br") != want || c.Pending {
				t.Errorf("%d. body: coding %q, pending %v, error %v; want coded: %v", n, c.Coding, c.Pending, err, want)
			}
			c.Release()
			a.Release()
		}
		work()
		work()
		if n := b.encoding.Meter.Stats().LeftPlain; n != 2 {
			t.Errorf("%d were left plain, want 2", n)
		}
		if !b.coders.TryAcquire(leastCoders) {
			t.Error("the room has not come back")
		}
	})
}

// A fault of an encoder ends the body that it makes, and neither the process nor its input.
func TestAFaultOfACoderEndsItsBody(t *testing.T) {
	inWorkshop(t, noPurges{}, func(t *testing.T, b *bench) {
		own := newBody(-1)
		from := newFollower(own, nil)
		body := newBody(-1)
		p := &pump{store: b.Store, body: body, from: &guarded{ReadCloser: faulty{}, from: from}, limit: 1 << 20, most: 1 << 20, entries: b.entries, budget: b.budget}
		p.run()
		if _, err := io.ReadAll(newFollower(body, nil)); err == nil || body.Complete() {
			t.Errorf("error %v, complete %v; want a body that has failed", err, body.Complete())
		}
		if own.readers != 1 { // who asked for it
			t.Errorf("the input has %d readers, want 1", own.readers)
		}
	})
}

type faulty struct{}

func (faulty) Read([]byte) (int, error) { panic("index out of range") }
func (faulty) Close() error             { panic("used again") }
