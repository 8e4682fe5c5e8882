package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// damage is something that happens to a file while no process has it open.
type damage struct {
	name string
	to   func(t *testing.T, file string, size int64)
}

var damages = []damage{
	{"bits flipped", func(t *testing.T, file string, size int64) {
		content := readFile(t, file)
		for range 1 + size/(64<<10) { // about as many as there are blocks
			content[rand.Int64N(size)] ^= 1 << rand.IntN(8)
		}
		writeFile(t, file, content)
	}},
	{"a page zeroed", func(t *testing.T, file string, size int64) {
		content := readFile(t, file)
		at := rand.Int64N(size)
		clear(content[at:min(at+4096, size)])
		writeFile(t, file, content)
	}},
	{"noise", func(t *testing.T, file string, size int64) {
		content := readFile(t, file)
		for i := range content {
			content[i] = byte(rand.Uint32())
		}
		writeFile(t, file, content)
	}},
	{"cut", func(t *testing.T, file string, size int64) { cutFile(t, file, rand.Int64N(size)) }},
	{"emptied", func(t *testing.T, file string, _ int64) { cutFile(t, file, 0) }},
	{"too long", func(t *testing.T, file string, size int64) { cutFile(t, file, size+1+rand.Int64N(64<<10)) }},
	{"removed", func(t *testing.T, file string, _ int64) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}},
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cutFile(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

// testDamages damages files that a pattern matches, in every way, between two processes. No wrong byte is served, nothing that
// was purged comes back, and no process ends; what cannot be told from the file that is damaged is fetched again.
func testDamages(t *testing.T, binary, pattern string) {
	size := crashSizes()
	origin, url := newPageOrigin(t)
	g := newProgram(t, binary, url, filepath.Join(t.TempDir(), "cache"), "64MiB")
	var sum tally
	noticed := 0
	for range size.damages {
		for _, d := range damages {
			fillCache(t, g, origin, size.pages)
			d.do(t, filepath.Join(g.cache, pattern))
			v, p := askCache(t, g, origin, size.pages)
			sum.add(&v.tally)
			noticed += p.said.count("damaged")
			if pattern == "index" && v.hits.Load() == 0 {
				t.Errorf("nothing is found, though the segments have it all:\n%s", p.said)
			}
			if t.Failed() {
				t.Fatalf("after %s with %s", pattern, d.name)
			}
		}
	}
	if noticed == 0 {
		t.Error("no process noticed any damage")
	}
	t.Logf("%d damages: %v; damage spoken of in %d lines", size.damages*len(damages), &sum, noticed)
}

// damaging is testDamages of one kind of file.
func damaging(pattern string) func(*testing.T, string) {
	return func(t *testing.T, binary string) { testDamages(t, binary, pattern) }
}

// askCache has a process show all that it finds in its cache.
func askCache(t *testing.T, g *program, origin *pageOrigin, pages int) (*visitors, *process) {
	t.Helper()
	p := g.startReady(t)
	p.await(loadedMessage)
	v := newVisitors(p, origin, pages)
	v.sweep(true)
	p.kill()
	p.healthy()
	return v, p
}

// fillCache has a process keep all pages, and end as an operator ends it or as the kernel does.
func fillCache(t *testing.T, g *program, origin *pageOrigin, pages int) {
	t.Helper()
	p := g.startReady(t)
	v := newVisitors(p, origin, pages)
	v.sweep(false)
	if err := v.purge(rand.IntN(pages)); err != nil {
		t.Error(err)
	}
	if rand.IntN(2) == 0 {
		p.stop()
	} else {
		p.kill()
	}
	p.healthy()
}

// do damages one of the files that a pattern matches. One with nothing in it is damaged already: a process that is killed while
// it makes a segment leaves that.
func (d damage) do(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]int64)
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			sizes[file] = info.Size()
		}
	}
	for file, size := range sizes { // Go begins anywhere
		d.to(t, file, size)
		return
	}
	t.Fatalf("no file that matches %s has something in it: %q", pattern, files)
}
