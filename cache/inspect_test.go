package cache

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answer has the origin give every request the same response.
func (b *bench) answer(text string, lines ...string) {
	b.origin = func(context.Context, int64, *Meta) (*http.Response, error) { return replyText(text, lines...), nil }
}

// sync returns once everything put is on the disk.
func (b *bench) sync() {
	b.t.Helper()
	if err := b.disk.tier.Sync(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// openDisk opens a stopped node's folder.
func openDisk(t *testing.T, dir string) (d *Disk, end func()) {
	t.Helper()
	d, err := OpenDisk(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d, func() {
		t.Helper()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// listed returns what a disk tier holds, apart from where.
func listed(t *testing.T, d *Disk) (all []StoredResponse) {
	t.Helper()
	err := d.List(t.Context(), func(s StoredResponse) bool {
		if s.Location == "" {
			t.Errorf("%s has no location", s.URL)
		}
		s.Location = ""
		all = append(all, s)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestListTellsWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.answer("hello", "Cache-Control: max-age=60", "Vary: X-Kind, Cookie", "Cache-Tag: red, blue")
		b.get("/a", "X-Kind", "one", "Cookie", "id=secret")
		time.Sleep(100 * time.Second)
		b.get("/new")
		b.sync()
		want := []StoredResponse{
			{
				URL: "example.com/a", Scheme: "http", Site: "example.com", Status: 200, State: StateStale, Age: 100, TTL: -40, Length: 5,
				Variant: []string{"Cookie: (not shown)", "X-Kind: one"}, Tags: []string{"blue", "red"},
			},
			{
				URL: "example.com/new", Scheme: "http", Site: "example.com", Status: 200, State: StateFresh, TTL: 60, Length: 5,
				Variant: []string{"no Cookie", "no X-Kind"}, Tags: []string{"blue", "red"},
			},
		}
		if got := listed(t, b.Disk()); !reflect.DeepEqual(got, want) {
			t.Errorf("of the running node:\n%+v\nwant\n%+v", got, want)
		}
		end()
		d, end := openDisk(t, dir)
		defer end()
		if got := listed(t, d); !reflect.DeepEqual(got, want) {
			t.Errorf("of the stopped node:\n%+v\nwant\n%+v", got, want)
		}
		if s := d.Stat(); s.Records != 4 || s.Limit != 0 || !s.Loaded { // two responses, and the Vary of each key
			t.Errorf("stat: %+v, want 4 records and no limit", s)
		}
	})
}

func TestListTellsWhatIsPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := newDiskBench(t, t.TempDir(), 4<<20)
		defer end()
		b.loaded()
		purges := &onePurge{}
		b.purges = purges
		b.answer("hello", "Cache-Control: max-age=60")
		b.get("/a")
		b.sync()
		purges.at.Store(1)
		b.get("/b")
		b.sync()
		for i, want := range []string{StatePurged, StateFresh} {
			if got := listed(t, b.Disk()); len(got) != 2 || got[i].State != want {
				t.Errorf("listed %+v, want state %s at %d", got, want, i)
			}
		}
	})
}

func TestRemoveForgetsAllVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.answer("hello", "Cache-Control: max-age=600", "Vary: X-Kind")
		for _, path := range []string{"/a", "/ab"} {
			b.get(path, "X-Kind", "one")
			b.get(path, "X-Kind", "two")
		}
		if n, err := b.Disk().Remove(t.Context(), "example.com/a"); n != 2 || err != nil {
			t.Errorf("removed %d, %v, want 2", n, err)
		}
		gone := func() {
			t.Helper()
			if _, how := b.get("/ab", "X-Kind", "one"); how != "hit" {
				t.Errorf("/ab: %s, want the neighbour to stay", how)
			}
			if o, d := b.look(b.query("/a", "X-Kind", "two")); o != nil {
				t.Errorf("/a: found again: %s", d.Outcome)
			}
		}
		gone()
		end()
		b, end = newDiskBench(t, dir, 4<<20)
		defer end()
		b.loaded()
		gone()
		if n, err := b.Disk().Remove(t.Context(), "example.com/a"); n != 0 || err != nil {
			t.Errorf("removed %d, %v the second time, want none", n, err)
		}
		if s := b.Disk().Stat(); s.Records != 3 {
			t.Errorf("%d records are left, want the three of /ab", s.Records)
		}
	})
}

func TestRemoveFromAStoppedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.answer("hello", "Cache-Control: max-age=600")
		b.get("/a")
		b.get("/b")
		end()
		d, end := openDisk(t, dir)
		if n, err := d.Remove(t.Context(), "example.com/a"); n != 1 || err != nil {
			t.Errorf("removed %d, %v, want 1", n, err)
		}
		end()
		d, end = openDisk(t, dir)
		defer end()
		if got := listed(t, d); len(got) != 1 || got[0].URL != "example.com/b" {
			t.Errorf("left: %+v, want /b", got)
		}
	})
}

func TestScrubFindsAFlippedBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, end := newDiskBench(t, dir, 4<<20)
		b.loaded()
		b.answer(strings.Repeat("flip me ", 100), "Cache-Control: max-age=600")
		b.get("/a")
		b.get("/b")
		end()
		flip(t, dir, "flip me ")
		d, end := openDisk(t, dir)
		defer end()
		var done, total int64
		r, err := d.Scrub(t.Context(), func(d, t int64) { done, total = d, t })
		if err != nil {
			t.Fatal(err)
		}
		if r.Clean || len(r.Damaged) != 1 || r.Records != 1 || r.Bytes != 800 {
			t.Errorf("scrub: %+v, want one record damaged and one of 800 bytes good", r)
		}
		if done == 0 || total < done {
			t.Errorf("progress: %d of %d", done, total)
		}
		if r, err := d.Scrub(t.Context(), nil); !r.Clean || err != nil {
			t.Errorf("scrub again: %+v, %v, want it clean", r, err)
		}
		if s := d.Stat(); s.CorruptBlocks != 1 {
			t.Errorf("%d corrupt blocks, want 1", s.CorruptBlocks)
		}
	})
}

// flip changes a bit of the first place where text stands in a segment.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(b), text); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in no segment", text)
}

// TestOpenDiskRefuses: what is no cache is left as it is.
func TestOpenDiskRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	missing, empty := filepath.Join(t.TempDir(), "missing"), t.TempDir()
	if err := os.Chmod(empty, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{missing, empty} {
		if d, err := OpenDisk(t.Context(), dir, log); err == nil {
			d.Close()
			t.Errorf("%s: opened", dir)
		}
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("the missing folder was made: %v", err)
	}
	if names, err := os.ReadDir(empty); len(names) > 0 || err != nil {
		t.Errorf("the empty folder holds %v, %v", names, err)
	}
	if info, err := os.Stat(empty); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode of the empty folder: %v, %v, want it as it was", info.Mode(), err)
	}

	dir := t.TempDir()
	b, end := newDiskBench(t, dir, 4<<20)
	defer end()
	b.loaded()
	if _, err := OpenDisk(t.Context(), dir, log); !errors.Is(err, ErrDiskInUse) {
		t.Errorf("a folder in use: %v, want %v", err, ErrDiskInUse)
	}
}

func TestParsePurgeURL(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"example.com", "example.com/"},
		{"example.com/a?b=c", "example.com/a?b=c"},
		{"https://Example.COM:443/%61/../b", "example.com/b"},
		{"http://example.com:80/", "example.com/"},
		{"http://example.com:443/", "example.com:443/"},
		{"example.com:8080/a?", "example.com:8080/a?"},
		{"[::1]:8080/a#b", "[::1]:8080/a"},
		{"example.com/é", "example.com/%C3%A9"},
		{"/a", ""},
		{"", ""},
		{"user@example.com/", ""},
		{"example.com/../a", ""},
		{"example.com/%zz", ""},
		{"example.com?a b", ""},
	} {
		got, err := ParsePurgeURL(row.text)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q: %q, %v, want %q", row.text, got, err, row.want)
		}
	}
}

// The URL that a key was made of is read back from it.
func TestKeyURL(t *testing.T) {
	p := DefaultConfig().Compile()
	for _, want := range []string{"http example.com/a", "https example.com/a?", "https [::1]:8080/?a=b"} {
		scheme, text, _ := strings.Cut(want, " ")
		host, path, _ := strings.Cut(text, "/")
		q := NewQuery()
		q.Host, q.Secure, q.Route = host, scheme == "https", "mobile"
		q.Path, q.RawQuery, q.HasQuery = strings.Cut("/"+path, "?")
		q.MakeKey(p, 1)
		scheme, url, ok := keyURL(q.Key)
		if got := scheme + " " + url; got != want || !ok {
			t.Errorf("%s: read back as %s, %v", want, got, ok)
		}
	}
	if _, _, ok := keyURL("\x05abc"); ok {
		t.Error("a key cut short: read")
	}
}

// FuzzParsePurgeURL: a purge URL is its own canonical form.
func FuzzParsePurgeURL(f *testing.F) {
	f.Add("https://example.com/a?b=c")
	f.Add("example.com:80/a#b")
	f.Fuzz(func(t *testing.T, text string) {
		once, err := ParsePurgeURL(text)
		if err != nil {
			return
		}
		if twice, err := ParsePurgeURL("https://" + once); err != nil || twice != once && !strings.Contains(once, ":443") {
			t.Errorf("%q: %q, then %q, %v", text, once, twice, err)
		}
	})
}

// FuzzReadVariant: whatever a record is named, a cookie is not shown.
func FuzzReadVariant(f *testing.F) {
	f.Add("\x06X-Kind\x01\x03one")
	f.Add("\x06Cookie\x01\x03a=b\x01B\x00")
	f.Fuzz(func(t *testing.T, variant string) {
		for _, line := range readVariant(variant) {
			if strings.HasPrefix(line, "Cookie: ") && line != "Cookie: (not shown)" {
				t.Errorf("%q: shown as %q", variant, line)
			}
		}
	})
}
