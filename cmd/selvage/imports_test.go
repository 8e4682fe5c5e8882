package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// forbidden lists the edges that imports may not have, each with the reason. A path stands for itself and all below it;
// what a folder imports from below itself is its own affair.
var forbidden = []struct{ from, to, why string }{
	{"selvage/cache", "selvage/edge", keeps},
	{"selvage/cache", "selvage/origin", keeps},
	{"selvage/cache", "selvage/purge", keeps},
	{"selvage/cache", "selvage/tlsmgr", keeps},
	{"selvage/cache", "selvage/cmd", keeps},
	{"selvage/encode", "selvage", "a coding knows bytes, not what they mean"},
	{"selvage/encode", "net/http", "a coding knows no HTTP"},
	{"selvage/cache/internal", "selvage", "a tier knows bytes and keys, not what they mean"},
	{"selvage/cache/internal", "net/http", "a tier knows no HTTP"},
	{"selvage/origin", "selvage", "a Pool is an http.RoundTripper: it knows neither who asks nor what is kept"},
	{"selvage/tlsmgr", "selvage", "it gives a *tls.Config and knows neither who listens nor what is served"},
	{"selvage/purge", "selvage/edge", "purging works where nobody listens"},
	{"selvage/purge", "selvage/origin", "a purge asks no origin"},
	{"selvage/purge", "selvage/tlsmgr", "a purge needs no certificate"},
	{"selvage/edge", "selvage/tlsmgr", "a listener is given its *tls.Config"},
	{"selvage/edge/internal/lane", "selvage", "the connection lies below the rooms: what it needs is handed to it"},
	{"selvage/edge/internal/stream", "selvage/cache", "what is passed on is neither kept nor looked into"},
	{"selvage/edge/internal/stream", "selvage/purge", "what is passed on is not kept"},
	{"selvage/edge/internal/stream", "net/http", "it knows no HTTP"},
	{"selvage/edge", "selvage/cmd", wiring},
	{"selvage/purge", "selvage/cmd", wiring},
}

const keeps = "the rules are pure and the Store only keeps: sockets, origins and purges come to them"

const wiring = "cmd puts the rooms together, so no room can need it"

// confined lists modules that only some folders may import.
var confined = []struct {
	module string
	to     []string
	why    string
}{
	{"go.etcd.io/bbolt", []string{"selvage/cache/internal/disk", "selvage/purge"},
		"it keeps the disk tier's index and the purge journal; its types leak nowhere"},
	{"github.com/prometheus", []string{"selvage/edge", "selvage/cmd"},
		"metrics are made from a Result and served by cmd"},
	{"github.com/sony/gobreaker", []string{"selvage/origin"},
		"whether an upstream may be asked is the pool's to say"},
	{"golang.org/x/crypto/acme", []string{"selvage/tlsmgr"},
		"it holds the conversation with a CA; its types leak nowhere"},
	{"github.com/pires/go-proxyproto", []string{"selvage/edge", "selvage/origin"},
		"it reads or writes one header, before there is a connection"},
	{"github.com/quic-go", []string{"selvage/edge/internal/lane"},
		"it is a connection below the rooms; what it carries is net/http's"},
	{"github.com/coreos/go-systemd", []string{"selvage/cmd"},
		"a room does not know what has started the process"},
	{"github.com/klauspost/compress", []string{"selvage/encode"},
		"whoever wants bytes coded asks for a Coding; the libraries' types leak nowhere"},
	{"github.com/andybalholm/brotli", []string{"selvage/encode"},
		"whoever wants bytes coded asks for a Coding; the libraries' types leak nowhere"},
	{"github.com/letsencrypt/pebble", nil, onlyInTests},
	{"github.com/google/go-cmp", nil, onlyInTests},
	{"go.uber.org/goleak", nil, onlyInTests},
	{"testing", nil, onlyInTests},
}

const onlyInTests = "it is for tests, and the binary does not need it"

// vague are the names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "core", "types", "helper", "helpers", "misc"}

// pkg is what `go list` tells of a package. Imports are those of its code, without tests: a test may combine rooms.
type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, why := range objections(p.ImportPath, imported) {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
		if slices.Contains(vague, path.Base(p.ImportPath)) {
			t.Errorf("%s: a package is named after what it owns", p.ImportPath)
		}
	}
}

// The table would be silent if it were misspelt, so a few edges that it is there for are tried.
func TestForbiddenImportsAreSeen(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     int
	}{
		{"selvage/cache", "selvage/purge", 1},
		{"selvage/cache", "selvage/cache/internal/ram", 0},
		{"selvage/cache", "selvage/encode", 0},
		{"selvage/encode", "selvage/cache", 1},
		{"selvage/cache/internal/ram", "selvage/cache", 1},
		{"selvage/cache/internal/disk", "net/http/httptrace", 1},
		{"selvage/cachet", "selvage/edge", 0},
		{"selvage/purge", "selvage/cache", 0},
		{"selvage/edge/internal/lane", "selvage/edge", 1},
		{"selvage/edge", "selvage/cmd/selvage", 1},
		{"selvage/cmd/selvage", "selvage/origin", 0},
		{"selvage/edge", "github.com/prometheus/client_golang/prometheus", 0},
		{"selvage/purge", "github.com/prometheus/client_golang/prometheus", 1},
		{"selvage/edge", "testing/synctest", 1},
	} {
		if got := objections(tt.from, tt.to); len(got) != tt.want {
			t.Errorf("%s imports %s: %d objections (%q), want %d", tt.from, tt.to, len(got), got, tt.want)
		}
	}
}

// objections returns why from may not import to.
func objections(from, to string) (why []string) {
	for _, f := range forbidden {
		if within(from, f.from) && within(to, f.to) && !within(to, f.from) {
			why = append(why, f.why)
		}
	}
	for _, c := range confined {
		allowed := func(folder string) bool { return within(from, folder) }
		if within(to, c.module) && !slices.ContainsFunc(c.to, allowed) {
			why = append(why, c.why)
		}
	}
	return why
}

// within reports whether p is folder or below it.
func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// packages lists the packages of the module, as `go list` prints them: one JSON object after the other.
func packages(t *testing.T) []pkg {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "selvage/...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	var all []pkg
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		all = append(all, p)
	}
}
