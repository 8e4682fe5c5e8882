package lane

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// FuzzHead: what the strict check accepts net/http accepts, in as many bytes and with the same meaning; and it makes no
// difference in what pieces the bytes came.
func FuzzHead(f *testing.F) {
	for _, row := range allHeadRows() {
		if len(row.raw) < 1<<10 {
			f.Add([]byte(row.raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := newHead(testLimits)
		whole, fault := h.scan(raw)
		checkPieces(t, raw, h, whole, fault)
		if whole && fault == nil {
			checkAgainstNetHTTP(t, raw, h)
		}
	})
}

// checkPieces feeds raw byte by byte, from a buffer that moves.
func checkPieces(t *testing.T, raw []byte, want head, wantWhole bool, wantFault *fault) {
	got := newHead(testLimits)
	for n := range len(raw) + 1 {
		whole, fault := got.scan(bytes.Clone(raw[:n]))
		if !whole && fault == nil {
			continue
		}
		if whole != wantWhole || fault != wantFault || !reflect.DeepEqual(got, want) {
			t.Fatalf("byte by byte: %v %v %+v, at once: %v %v %+v", whole, fault, got, wantWhole, wantFault, want)
		}
		return
	}
	if wantWhole || wantFault != nil {
		t.Fatalf("byte by byte: no end, at once: %v %v", wantWhole, wantFault)
	}
}

func checkAgainstNetHTTP(t *testing.T, raw []byte, h head) {
	in := bytes.NewReader(raw)
	br := bufio.NewReader(in)
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatalf("net/http refuses: %v", err)
	}
	if consumed := len(raw) - in.Len() - br.Buffered(); consumed != h.next {
		t.Errorf("net/http consumed %d bytes, the check %d", consumed, h.next)
	}
	line, _, _ := strings.Cut(string(raw), "\r\n")
	if got := r.Method + " " + r.RequestURI + " " + r.Proto; got != line {
		t.Errorf("net/http read %q of %q", got, line)
	}
	host := h.host.of(raw)
	if h.hosts == 0 {
		host = h.authority.of(raw)
	}
	if !strings.EqualFold(r.Host, string(host)) || !httpguts.ValidHostHeader(r.Host) {
		t.Errorf("host %q, net/http's %q", host, r.Host)
	}
	length := h.length
	if h.encodings > 0 {
		length = -1
	}
	if r.ContentLength != length {
		t.Errorf("length %d, net/http's %d", length, r.ContentLength)
	}
	if h.plain() {
		checkHandedOn(t, raw, h, r)
	}
	for name, values := range r.Header {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				t.Errorf("net/http's server refuses %q: %q", name, v)
			}
		}
	}
}

// checkHandedOn compares what a handler gets of a plain head with what it would get from net/http.
func checkHandedOn(t *testing.T, raw []byte, h head, want *http.Request) {
	got, err := h.message(string(raw[:h.next]))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("handed on as %+v, by net/http as %+v", &got, want)
	}
}

// FuzzChunks: what the follower accepts net/http accepts, in as many bytes; and it makes no difference in what pieces the
// bytes came.
func FuzzChunks(f *testing.F) {
	for _, row := range chunkRows {
		f.Add([]byte(row.raw), uint8(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		released, end, err := followAll(raw, len(raw)+1)
		pieces, piecesEnd, piecesErr := followAll(raw, int(step)+1)
		if released != pieces || end != piecesEnd || err != piecesErr {
			t.Fatalf("in pieces: %d %v %v, at once: %d %v %v", pieces, piecesEnd, piecesErr, released, end, err)
		}
		if end {
			checkChunksAgainstNetHTTP(t, raw, released)
		}
	})
}

// followAll feeds raw in steps, as conn does, and returns how many bytes were released.
func followAll(raw []byte, step int) (released int, end bool, err error) {
	c := chunks{}
	for arrived := 0; ; {
		ready, end, err := c.follow(raw[released:arrived])
		released += ready
		if end || ready == 0 && err != nil {
			return released, end, err
		}
		if ready > 0 {
			continue
		}
		if arrived == len(raw) {
			return released, false, nil
		}
		arrived = min(len(raw), arrived+step)
	}
}

func checkChunksAgainstNetHTTP(t *testing.T, raw []byte, length int) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	in := strings.NewReader(head + string(raw))
	br := bufio.NewReader(in)
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatalf("net/http refuses: %v", err)
	}
	if consumed := len(raw) - in.Len() - br.Buffered(); consumed != length {
		t.Errorf("net/http consumed %d bytes, the follower %d", consumed, length)
	}
	for name := range r.Trailer {
		if forbiddenTrailer([]byte(name)) || !httpguts.ValidTrailerHeader(name) {
			t.Errorf("trailer %q was let pass", name)
		}
	}
}
