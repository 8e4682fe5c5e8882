package disk

import (
	"os"
	"path/filepath"
	"testing"
)

// A directory that is moved away, or has another one in its place, is not written to, and the other one is left as it is. What
// is open is still read, and all goes on when the directory is back.
func TestReplacedDirectory(t *testing.T) {
	for what, replace := range map[string]func(t *testing.T, dir string){
		"moved away": func(*testing.T, string) {},
		"replaced by an empty one": func(t *testing.T, dir string) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"replaced by another cache": func(t *testing.T, dir string) {
			other, _ := filled(t)
			if err := os.Rename(other, dir); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir, clock := filepath.Join(t.TempDir(), "cache"), newClock()
			o := small()
			o.Now = clock.now
			r := loaded(t, dir, o)
			rec, body := record(1, 30_000)
			r.put(rec, body)
			r.clean()
			away := dir + ".away"
			if err := os.Rename(dir, away); err != nil {
				t.Fatal(err)
			}
			replace(t, dir)
			before := contents(t, dir)
			for n := 10; n < 300; n++ { // enough to evict
				other, body := record(n, 30_000)
				r.Put(other, [][]byte{body})
				r.Sync(t.Context())
			}
			run(t, r, func(w *writer) { w.loseIndex(errDamaged); w.rewriter = newRewriter(w) })
			r.want(rec)
			if after := contents(t, dir); len(after) != len(before) {
				t.Errorf("the directory in its place holds %d files, want the %d it had", len(after), len(before))
			} else {
				for name, content := range before {
					if after[name] != content {
						t.Errorf("%s in its place has changed", name)
					}
				}
			}
			if r.Stat().DiskErrors == 0 {
				t.Error("no error is counted")
			}
			os.RemoveAll(dir)
			if err := os.Rename(away, dir); err != nil {
				t.Fatal(err)
			}
			clock.advance(indexRetry)
			run(t, r, func(w *writer) { w.tick() })
			other, body := record(2, 30_000)
			r.put(other, body)
			r.clean()
			r.want(other)
			r.stop()
			r = loaded(t, dir, small())
			r.want(other)
		})
	}
}

// contents returns what the files of a directory hold.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range files(t, dir) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = string(b)
	}
	return all
}
