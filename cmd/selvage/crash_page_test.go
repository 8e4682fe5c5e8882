package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// page names one representation that a pageOrigin has at some time. Everything about it follows from the name, so whoever
// gets its bytes can tell, without asking, whether they are the right ones.
type page struct {
	number  int
	flavour string // "" where the number does not vary
	version int64
}

const (
	pageBlock    = 1 << 10
	smallestPage = 100
	largestPage  = 3 << 20
)

var flavours = []string{"bitter", "salt", "sour"}

// traits are what a number keeps from version to version.
type traits struct {
	varies, chunked bool
	fresh, period   time.Duration // how long a version may be reused, and how long it is the newest
}

func traitsOf(number int) traits {
	seconds := [][2]int{{1, 3}, {2, 5}, {20, 15}, {300, 3600}}[number%4]
	return traits{
		varies: number%5 == 0, chunked: number%3 == 0,
		fresh: time.Duration(seconds[0]) * time.Second, period: time.Duration(seconds[1]) * time.Second,
	}
}

func (p page) name() string { return fmt.Sprintf("/page/%d %s %d", p.number, p.flavour, p.version) }
func (p page) etag() string { return fmt.Sprintf(`"%d-%s-%d"`, p.number, p.flavour, p.version) }

var etagForm = regexp.MustCompile(`^"(\d+)-([a-z]*)-(\d+)"$`)

func pageOf(etag string) (p page, ok bool) {
	m := etagForm.FindStringSubmatch(etag)
	if m == nil {
		return page{}, false
	}
	p.number, _ = strconv.Atoi(m[1])
	p.flavour = m[2]
	p.version, _ = strconv.ParseInt(m[3], 10, 64)
	return p, true
}

// size is another one for every version. Small pages are as likely as large ones, by the logarithm.
func (p page) size() int64 {
	hash := sha256.Sum256([]byte(p.name()))
	part := float64(binary.LittleEndian.Uint32(hash[:])) / math.MaxUint32
	return int64(smallestPage * math.Pow(largestPage/smallestPage, part))
}

// body returns the content: every kibibyte begins with a line that says what it is, and goes on with noise from where its hash
// says.
func (p page) body() []byte {
	body := make([]byte, p.size())
	line := []byte(p.name() + " at ")
	start := len(line)
	for at := 0; at < len(body); at += pageBlock {
		line = append(strconv.AppendInt(line[:start], int64(at), 10), ' ')
		hash := xxhash.Sum64(line)
		line = append(strconv.AppendUint(line, hash, 16), '\n')
		block := body[at:min(at+pageBlock, len(body))]
		n := copy(block, line)
		copy(block[n:], noise[hash%math.MaxUint16:])
	}
	return body
}

// noise is drawn once, since a run compares gigabytes with it.
var noise = func() []byte {
	b := make([]byte, math.MaxUint16+pageBlock)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

// difference says where got is not want, or "".
func difference(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	block := at / pageBlock * pageBlock
	return fmt.Sprintf("%d bytes, want %d; at %d the block begins %q, want %q", len(got), len(want), at, head(got, block), head(want, block))
}

func head(b []byte, at int) []byte { return b[min(at, len(b)):min(at+60, len(b))] }

// pageOrigin serves pages, the same for every process that is killed in front of it.
type pageOrigin struct {
	began     time.Time
	whole     atomic.Int64 // answers with a body
	validated atomic.Int64 // answers with 304
	promises

	mu      sync.Mutex
	changes map[int][]time.Time // guarded by mu; by number, when a version ended before its time
}

// change ends the newest version of a number, and returns the next.
func (o *pageOrigin) change(number int) (version int64) {
	o.mu.Lock()
	now := time.Now()
	o.changes[number] = append(o.changes[number], now)
	o.mu.Unlock()
	return o.versionAt(number, now)
}

// changesOf returns when the versions of a number were changed.
func (o *pageOrigin) changesOf(number int) []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.changes[number])
}

// versionAt returns the number of the version that is the newest at a time.
func (o *pageOrigin) versionAt(number int, now time.Time) int64 {
	version := int64(now.Sub(o.began) / traitsOf(number).period)
	for _, at := range o.changesOf(number) {
		if !at.After(now) {
			version++
		}
	}
	return version
}

// endOf returns when a page stops being the newest of its number.
func (o *pageOrigin) endOf(p page) time.Time {
	end := o.began.Add(time.Duration(p.version+1) * traitsOf(p.number).period)
	for i, at := range o.changesOf(p.number) {
		if !at.Before(end) {
			break // it is over by then
		}
		end = o.began.Add(time.Duration(p.version-int64(i)) * traitsOf(p.number).period)
		if end.Before(at) {
			end = at
		}
	}
	return end
}

func (o *pageOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/page/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("X-Version", strconv.FormatInt(o.change(number), 10))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	is := traitsOf(number)
	p := page{number: number, version: o.versionAt(number, time.Now())}
	h := w.Header()
	if is.varies {
		p.flavour = r.Header.Get("X-Flavour")
		h.Set("Vary", "X-Flavour")
	}
	h.Set("ETag", p.etag())
	h.Set("Cache-Control", fmt.Sprintf("max-age=%d", int(is.fresh.Seconds())))
	h.Set("Content-Type", "application/octet-stream")
	if r.Header.Get("If-None-Match") == p.etag() {
		o.validated.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	o.whole.Add(1)
	if is.chunked {
		w.(http.Flusher).Flush()
	} else {
		h.Set("Content-Length", strconv.FormatInt(p.size(), 10))
	}
	w.Write(p.body())
}

// TestVersionsFollowEachOther: every version ends when the next begins, whether by its time or by a change.
func TestVersionsFollowEachOther(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	o := newPageOriginAt(began)
	second := func(n float64) time.Time { return began.Add(time.Duration(n * float64(time.Second))) }
	const number = 0 // a version every three seconds
	o.changes[number] = []time.Time{second(1), second(2), second(7), second(7.5), second(40)}
	for at := 0.05; at < 60; at += 0.1 {
		p := page{number: number, version: o.versionAt(number, second(at))}
		end := o.endOf(p)
		if now := o.versionAt(number, end.Add(-time.Nanosecond)); !end.After(second(at)) || now != p.version {
			t.Fatalf("at %.2f s version %d ends at %v, and is %d just before", at, p.version, end.Sub(began), now)
		}
		if next := o.versionAt(number, end); next <= p.version {
			t.Fatalf("version %d ends at %v, when it is %d", p.version, end.Sub(began), next)
		}
	}
}

// TestPagesTellTheTruth: what the crash tests would take for a wrong byte is found to be one.
func TestPagesTellTheTruth(t *testing.T) {
	p := page{number: 5, flavour: "sour", version: 7}
	for p.size() < 2*pageBlock {
		p.version++
	}
	if back, ok := pageOf(p.etag()); !ok || back != p {
		t.Errorf("pageOf(%s) = %+v, want %+v", p.etag(), back, p)
	}
	want := p.body()
	if d := difference(p.body(), want); d != "" {
		t.Errorf("the same page twice: %s", d)
	}
	flipped := bytes.Clone(want)
	flipped[len(flipped)-1] ^= 1
	swapped := append(bytes.Clone(want[pageBlock:2*pageBlock]), want[pageBlock:]...)
	next := page{p.number, p.flavour, p.version + 1}
	for what, wrong := range map[string][]byte{
		"a flipped bit": flipped, "a block in another's place": swapped, "a body cut short": want[:len(want)-1],
		"a byte too many": append(bytes.Clone(want), 0), "another version": next.body(), "nothing": nil,
	} {
		if difference(wrong, want) == "" {
			t.Errorf("%s passes for the page", what)
		}
	}
}
