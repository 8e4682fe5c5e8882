package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// demoSite is the origin of the demo: what a well-kept site looks like to a cache. Assets carry a fingerprint in their
// names and never change, pages are fresh for a moment, one page is for nobody to keep, one picture takes long to make.
type demoSite struct {
	files    map[string]demoFile // by path
	missing  demoFile
	account  string
	visits   atomic.Int64
	woven    atomic.Uint64
	weaving  time.Duration // how long a piece takes
	handlers http.ServeMux
}

// demoFile is one response, made once.
type demoFile struct {
	body               []byte
	contentType, fresh string // Content-Type and Cache-Control
	etag               string
}

// Cache-Control of the demo.
const (
	freshForever = "public, max-age=31536000, immutable"
	freshPage    = "public, max-age=60, stale-while-revalidate=60"
	freshPiece   = "public, max-age=10, stale-while-revalidate=60"
	freshBolt    = "public, max-age=3600"
	freshMissing = "public, max-age=5"
	freshNever   = "no-store"
)

// newDemoSite reads the site's files; a piece takes `weaving` to make.
func newDemoSite(files fs.FS, weaving time.Duration) (*demoSite, error) {
	s := &demoSite{files: make(map[string]demoFile), weaving: weaving}
	names, err := s.addAssets(files)
	if err != nil {
		return nil, err
	}
	if err := s.addPages(files, names); err != nil {
		return nil, err
	}
	s.files["/bolt.txt"] = newDemoFile(weaveBolt(), "text/plain; charset=utf-8", freshBolt)
	s.handlers.HandleFunc("GET /", s.serveFile)
	s.handlers.HandleFunc("GET /account", s.serveAccount)
	s.handlers.HandleFunc("GET /weave.svg", s.serveWeave)
	return s, nil
}

func (s *demoSite) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handlers.ServeHTTP(w, r) }

// addAssets adds everything below assets/ under a name that holds a fingerprint of its bytes, and returns what turns the
// plain names into those. The style sheet names other assets, so it comes last.
func (s *demoSite) addAssets(files fs.FS) (*strings.Replacer, error) {
	paths, err := fs.Glob(files, "assets/*")
	if err != nil {
		return nil, err
	}
	var renamed []string
	add := func(name string, rewrite *strings.Replacer) error {
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("read the demo site: %w", err)
		}
		if rewrite != nil {
			body = []byte(rewrite.Replace(string(body)))
		}
		extension := path.Ext(name)
		print := sha256.Sum256(body)
		address := fmt.Sprintf("/%s.%x%s", strings.TrimSuffix(name, extension), print[:4], extension)
		s.files[address] = newDemoFile(body, contentType(extension), freshForever)
		renamed = append(renamed, "/"+name, address)
		return nil
	}
	for _, name := range paths {
		if path.Ext(name) != ".css" {
			if err := add(name, nil); err != nil {
				return nil, err
			}
		}
	}
	if err := add("assets/style.css", strings.NewReplacer(renamed...)); err != nil {
		return nil, err
	}
	return strings.NewReplacer(renamed...), nil
}

func (s *demoSite) addPages(files fs.FS, names *strings.Replacer) error {
	paths, err := fs.Glob(files, "*.html")
	if err != nil {
		return err
	}
	for _, name := range paths {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("read the demo site: %w", err)
		}
		body := names.Replace(string(text))
		page := newDemoFile([]byte(body), contentType(".html"), freshPage)
		switch name {
		case "index.html":
			s.files["/"] = page
		case "account.html":
			s.account = body
		case "404.html":
			s.missing = page
			s.missing.fresh = freshMissing
		default:
			s.files["/"+strings.TrimSuffix(name, ".html")] = page
		}
	}
	return nil
}

// contentType does not ask the system's tables, as package mime does: they differ from machine to machine.
func contentType(extension string) string {
	return map[string]string{
		".html": "text/html; charset=utf-8",
		".css":  "text/css; charset=utf-8",
		".js":   "text/javascript; charset=utf-8",
		".svg":  "image/svg+xml",
		".png":  "image/png",
		".woff": "font/woff",
	}[extension]
}

func newDemoFile(body []byte, contentType, fresh string) demoFile {
	sum := sha256.Sum256(body)
	return demoFile{body, contentType, fresh, fmt.Sprintf(`"%x"`, sum[:8])}
}

// serveFile answers with a file, whole, a range of it, or 304.
func (s *demoSite) serveFile(w http.ResponseWriter, r *http.Request) {
	file, ok := s.files[r.URL.Path]
	if !ok {
		file = s.missing
	}
	w.Header().Set("Content-Type", file.contentType)
	w.Header().Set("Cache-Control", file.fresh)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		w.Write(file.body)
		return
	}
	w.Header().Set("ETag", file.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.body))
}

// serveAccount answers with a page that is different each time, and for nobody to keep.
func (s *demoSite) serveAccount(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentType(".html"))
	w.Header().Set("Cache-Control", freshNever)
	visits := strconv.FormatInt(s.visits.Add(1), 10)
	fmt.Fprint(w, strings.ReplaceAll(s.account, "{{visits}}", visits))
}

// serveWeave takes its time over a picture that is different each time.
func (s *demoSite) serveWeave(w http.ResponseWriter, r *http.Request) {
	if !wait(r.Context(), s.weaving) {
		return
	}
	w.Header().Set("Content-Type", contentType(".svg"))
	w.Header().Set("Cache-Control", freshPiece)
	w.Write(weavePiece(s.woven.Add(1)))
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Size of a piece, in stitches.
const pieceWidth, pieceHeight = 72, 16

// weavePiece draws piece number n: each row follows from the one above by rule 90, stitch by stitch, with the pattern
// mirrored as a loom's tie-up would.
func weavePiece(n uint64) []byte {
	random := rand.New(rand.NewPCG(n, 0))
	thread := []string{"#263860", "#c4342a", "#4d6a54", "#8a5a2b"}[n%4]
	var row [pieceWidth]bool
	for x := range pieceWidth / 2 {
		row[x] = random.IntN(3) == 0
		row[pieceWidth-1-x] = row[x]
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`, pieceWidth, pieceHeight)
	fmt.Fprintf(&b, `<title>Piece %d</title><path fill="#f6f1e4" d="M0 0h%dv%dH0z"/><path fill="%s" d="`, n, pieceWidth, pieceHeight, thread)
	for y := range pieceHeight {
		next := row
		for x := range row {
			if row[x] {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x, y)
			}
			next[x] = row[(x+pieceWidth-1)%pieceWidth] != row[(x+1)%pieceWidth]
		}
		row = next
	}
	b.WriteString(`"/></svg>` + "\n")
	return b.Bytes()
}

// Size of the bolt: ten mebibytes of lines that each say where they begin.
const boltBytes, boltLine = 10 << 20, 64

func weaveBolt() []byte {
	bolt := make([]byte, 0, boltBytes)
	for len(bolt) < boltBytes {
		bolt = fmt.Appendf(bolt, "%-*s\n", boltLine-1, fmt.Sprintf("%08d  over, under, over, under, over, under", len(bolt)))
	}
	return bolt
}
