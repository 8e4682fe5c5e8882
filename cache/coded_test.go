package cache

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/cache/internal/disk"
	"selvage/encode"
)

// codingDisk is a bench with a disk in dir that makes codings, over an origin with one text under every path.
func codingDisk(t *testing.T, dir, text string, purges Purges) (b *bench, end func()) {
	t.Helper()
	b, end = diskBench(t, StoreConfig{
		MaxBytes: 4 << 20, Disk: DiskConfig{Path: dir, Size: 64 << 20}, HighestEpoch: 10,
		Encoding: Encoding{new(encode.Meter), encode.NewWorkshop(encode.DefaultWorkshopConfig(), nil)},
	}, purges)
	c := encode.DefaultConfig()
	b.policy.Codings = CompileCodings(&c)
	b.origin = func(_ context.Context, _ int64, validate *Meta) (*http.Response, error) {
		if validate != nil {
			return reply(304, http.NoBody, 0, "Cache-Control: max-age=600", `Etag: "v1"`), nil
		}
		return replyText(text, "Cache-Control: max-age=600", `Etag: "v1"`, "Content-Type: text/plain"), nil
	}
	b.loaded()
	return b, end
}

// made counts what encoders have made.
func (b *bench) made() (n int64) {
	for _, f := range b.encoding.Meter.Stats().Flows {
		n += f.Bodies
	}
	return n
}

// A coding is on the disk with its object: it is there after a restart, after a 304, and for an object that memory never has.
func TestCodingsSurviveARestart(t *testing.T) {
	for _, c := range []struct {
		rule string
		text string
		asks int // until the coding is kept
		age  time.Duration
	}{
		{"small: in memory and on the disk", text, 1, 0},
		{"large: on the disk alone", strings.Repeat(text, 10), 2, 0},
		{"validated meanwhile", text, 1, 700 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			b, end := codingDisk(t, dir, c.text, noPurges{})
			for range c.asks {
				b.choose("/a", "Accept-Encoding", "br")
				work()
			}
			first, _ := b.choose("/a", "Accept-Encoding", "br")
			if !first.Final {
				t.Errorf("%s: nothing kept", c.rule)
			}
			end()
			time.Sleep(c.age)

			b, end = codingDisk(t, dir, c.text, noPurges{})
			defer end()
			again, body := b.choose("/a", "Accept-Encoding", "br")
			if again.Coding != "br" || again.ETag != first.ETag || body != c.text {
				t.Errorf("%s: %q %s, right %v; want br %s", c.rule, again.Coding, again.ETag, body == c.text, first.ETag)
			}
			if b.made() != 0 {
				t.Errorf("%s: %d bodies encoded again", c.rule, b.made())
			}
			again.Release()
		})
	}
}

// What was found not to help is not tried again after a restart.
func TestWhatDoesNotHelpIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, text := t.TempDir(), noise(4000)
		b, end := codingDisk(t, dir, text, noPurges{})
		b.choose("/a", "Accept-Encoding", "br")
		work()
		end()
		b, end = codingDisk(t, dir, text, noPurges{})
		defer end()
		if c, body := b.choose("/a", "Accept-Encoding", "br"); c.Coding != "" || body != text || b.made() != 0 {
			t.Errorf("%q, right %v, %d bodies encoded again", c.Coding, body == text, b.made())
		}
		o, _ := b.look(b.query("/a"))
		ref, _ := b.disk.tier.Lookup(codedName(o, "br"))
		if h := b.disk.heads.at(ref.Location()); h == nil || h.source.parked.Load() != nil {
			t.Error("it is open for a reader who will not come")
		}
	})
}

// Another body under the same name has nothing of what was made of the one before it.
func TestACodingEndsWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := codingDisk(t, dir, text, noPurges{})
		b.choose("/a", "Accept-Encoding", "br")
		work()
		q := b.query("/a", "Accept-Encoding", "br")
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
			return replyText("new "+text, "Cache-Control: max-age=600", `Etag: "v1"`, "Content-Type: text/plain"), nil
		}
		stale, _ := b.look(q)
		a := b.fill(q, stale, false)
		a.Release()
		synctest.Wait()
		end()

		b, end = codingDisk(t, dir, text, noPurges{})
		defer end()
		if c, body := b.choose("/a", "Accept-Encoding", "br"); body != "new "+text {
			t.Errorf("%q of %d bytes: the coding of what was there before", c.Coding, len(body))
		}
	})
}

// What purges the object has the room of its codings freed as well.
func TestCodingsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &onePurge{}
		b, end := codingDisk(t, t.TempDir(), text, p)
		defer end()
		for _, coding := range []string{"br", "gzip"} {
			b.choose("/a", "Accept-Encoding", coding)
			work()
		}
		count := func() (n int) {
			for range b.disk.each() {
				n++
			}
			return n
		}
		if n := count(); n != 3 {
			t.Fatalf("%d records, want the object and two codings", n)
		}
		p.at.Store(1)
		b.sweep(t.Context(), 1)
		time.Sleep(time.Second)
		if n := count(); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}

// each yields the heads of all records.
func (d *below) each() func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		_ = d.tier.Walk(context.Background(), func(uint64) bool { return true }, func(r *disk.Record, _ disk.Location) bool {
			return yield(r.Head)
		})
	}
}

// Whatever a record says, reading it does no harm.
func FuzzReadCoded(f *testing.F) {
	f.Add([]byte{recordCoded})
	f.Add(append([]byte{recordCoded}, "\x01s\x01h\x03h/a\x01\x03tag\x07\x02br\x09"...))
	f.Fuzz(func(t *testing.T, head []byte) {
		if c, ok := readCoded(head); ok && head[0] != recordCoded {
			t.Errorf("%q is taken for %+v", head, c.target)
		}
	})
}
