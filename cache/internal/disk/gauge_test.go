package disk

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// gauge is an FS that knows at any time how much space is taken: also by files whose name is gone and that are still open.
type gauge struct {
	system
	dir string

	mu    sync.Mutex
	files map[*gaugedFile]bool // guarded by mu
	most  int64                // guarded by mu: ever taken
}

type gaugedFile struct {
	File
	g       *gauge
	name    string
	size    int64 // guarded by g.mu, as is all below
	removed bool
	closed  bool
}

// change does something to a file and measures. The index is written past the FS, and never by two at once.
func (g *gauge) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	sum := int64(0)
	for f := range g.files {
		if f.removed && f.closed {
			delete(g.files, f)
			continue
		}
		sum += f.size
	}
	for _, name := range []string{indexName, indexName + freshSuffix} {
		if info, err := os.Lstat(filepath.Join(g.dir, name)); err == nil {
			sum += info.Size()
		}
	}
	g.most = max(g.most, sum)
}

func (g *gauge) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	file, err := g.system.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	f := &gaugedFile{File: file, g: g, name: name}
	f.size, _ = file.Size()
	g.change(func() { g.files[f] = true })
	return f, nil
}

func (g *gauge) Remove(name string) error {
	err := g.system.Remove(name)
	g.change(func() {
		for f := range g.files {
			f.removed = f.removed || f.name == name
		}
	})
	return err
}

func (f *gaugedFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	f.g.change(func() { f.size = max(f.size, at+int64(n)) })
	return n, err
}

func (f *gaugedFile) Close() error {
	err := f.File.Close()
	f.g.change(func() { f.closed = true })
	return err
}

// At no instant of a flood is more taken than the limit and one segment: large bodies that come at the same time, small ones in
// crowds, readers who hold on to what was dropped, removals and compactions, and an index that grows and is written anew.
func TestFloodNeverExceedsTheLimit(t *testing.T) {
	dir := t.TempDir()
	g := &gauge{dir: dir, files: make(map[*gaugedFile]bool)}
	o := small()
	o.FS = g
	r := loaded(t, dir, o)
	var flood sync.WaitGroup
	for s := range 4 {
		flood.Go(func() {
			for n := range 20 {
				rec, body := record(100*s+n, 500_000) // the largest there may be
				r.stream(rec, body, 60_000)
				if ref, ok := r.Lookup(rec.Name); ok && n%3 == 0 {
					if e, err := r.Open(ref); err == nil {
						flood.Go(func() { // reads while others write
							defer e.Close()
							r.check(e)
						})
					}
				}
			}
		})
		flood.Go(func() {
			for n := range 4000 {
				rec, body := record(1000+4000*s+n, n%200)
				r.Put(rec, [][]byte{body})
				if n%3 > 0 {
					r.Remove(name(1000 + 4000*s + n - 50))
				}
				if n%500 == 0 {
					r.Sync(t.Context())
					run(t, r, func(w *writer) { w.compact() })
				}
			}
		})
	}
	flood.Wait()
	r.sync()
	s := r.Stat()
	t.Logf("%d bytes at most, of %d and a segment of %d; %d segments evicted, %d compacted", g.most, s.Limit, r.segmentBytes, s.Evicted, s.Compacted)
	if g.most > s.Limit+r.segmentBytes {
		t.Errorf("%d bytes were taken, want at most %d and a segment of %d", g.most, s.Limit, r.segmentBytes)
	}
	if s.Evicted == 0 || g.most < s.Limit/2 {
		t.Errorf("%d segments evicted, %d bytes at most: no flood", s.Evicted, g.most)
	}
	r.clean()
}
