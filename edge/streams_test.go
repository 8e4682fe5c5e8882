package edge

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"selvage/edge/internal/stream"
)

func exampleAccount() *stream.Account {
	return &stream.Account{
		Begin: exampleResult().Begin, Client: addr("192.0.2.1"), Stream: "mail", Name: "imap.example.com", Origin: "imap",
		Upstream: "10.0.0.1:993", Received: 12, Sent: 3456, Connect: 1500 * time.Microsecond, Total: 3 * time.Second, Error: "idle",
	}
}

func TestStreamLines(t *testing.T) {
	full, bare := exampleAccount(), &stream.Account{Begin: exampleAccount().Begin, Stream: ":5432", Error: "denied"}
	for _, tt := range []struct {
		name   string
		encode streamEncoder
		a      *stream.Account
		want   string
	}{
		{"json", streamEncoderFor("json", true), full, `{"time":"2026-02-03T04:05:06.789Z","client":"192.0.2.1","proto":"TCP","stream":"mail",` +
			`"host":"imap.example.com","origin":"imap","upstream":"10.0.0.1:993","received":12,"bytes":3456,"connect_ms":1.500,"total_ms":3000.000,"error":"idle"}`},
		{"json, little to say", streamEncoderFor("auto", false), bare, `{"time":"2026-02-03T04:05:06.789Z","proto":"TCP","stream":":5432",` +
			`"received":0,"bytes":0,"connect_ms":0.000,"total_ms":0.000,"error":"denied"}`},
		{"combined", streamEncoderFor("combined", true), full, `192.0.2.1 - - [03/Feb/2026:04:05:06 +0000] "CONNECT imap.example.com TCP" 200 3456 "-" "-"`},
		{"combined, little to say", streamEncoderFor("combined", false), bare, `- - - [03/Feb/2026:04:05:06 +0000] "CONNECT :5432 TCP" 502 0 "-" "-"`},
		{"text", streamEncoderFor("text", false), full, `04:05:06.789  TCP  imap       idle                       3000.000 ms       3456 B  mail imap.example.com to 10.0.0.1:993  192.0.2.1`},
		{"text, little to say", streamEncoderFor("auto", true), bare, `04:05:06.789  TCP  none       denied                        0.000 ms          0 B  :5432`},
	} {
		if got := string(tt.encode(nil, tt.a)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestStreamLinesEscape: THREATS T34. The name is a stranger's.
func TestStreamLinesEscape(t *testing.T) {
	a := exampleAccount()
	a.Name = "a\r\n\x1b[31m\"\\\xff\x00"
	var read struct{ Host string }
	if err := json.Unmarshal(appendStreamJSON(nil, a), &read); err != nil || read.Host != "a\r\n\x1b[31m\"\\\ufffd\x00" {
		t.Errorf("JSON holds %q (%v)", read.Host, err)
	}
	for _, encode := range []streamEncoder{appendStreamCombined, appendStreamText, appendStreamJSON} {
		if line := string(encode(nil, a)); strings.ContainsAny(line, "\r\n\x1b\x00") || !utf8.ValidString(line) {
			t.Errorf("something that is no text in %q", line)
		}
	}
}

// TestPutBack: what was read of a connection and put back comes before what is left of a burst.
func TestPutBack(t *testing.T) {
	near, far := net.Pipe()
	c := &proxiedConn{Conn: far, rest: []byte("hello world")}
	go func() {
		io.WriteString(near, "!")
		near.Close()
	}()
	first := make([]byte, 5)
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	c.putBack(first)
	if n := c.Buffered(); n != 11 {
		t.Errorf("%d bytes are buffered, want 11", n)
	}
	if all, err := io.ReadAll(c); string(all) != "hello world!" || err != nil {
		t.Errorf("read %q, %v", all, err)
	}
	c.putBack([]byte("again"))
	if below, rest := c.Below(); below != far || string(rest) != "again" || c.Buffered() != 0 {
		t.Errorf("below is %v with %q, and %d bytes stay", below, rest, c.Buffered())
	}
}

// TestStreamSocketsStay: what a reload can change of a stream, and what it cannot.
func TestStreamSocketsStay(t *testing.T) {
	old := []StreamConfig{{Address: ":1", Origin: "a"}, {Address: ":2", Origin: "a", ProxyProtocol: []string{"::1"}}}
	for _, tt := range []struct {
		what string
		now  []StreamConfig
		ok   bool
	}{
		{"another origin", []StreamConfig{{Address: ":1", Origin: "b", Name: "x"}, {Address: ":2", Origin: "a", ProxyProtocol: []string{"::1"}}}, true},
		{"another address", []StreamConfig{{Address: ":3"}, old[1]}, false},
		{"other balancers", []StreamConfig{old[0], {Address: ":2"}}, false},
		{"one less", old[:1], false},
	} {
		if err := sameStreams(old, tt.now); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want that it may be = %v", tt.what, err, tt.ok)
		}
	}
}

// TestConnsBeside: streams have a part of the descriptors, unless the file says how many the sites have.
func TestConnsBeside(t *testing.T) {
	some := []StreamConfig{{Address: ":1"}}
	for _, tt := range []struct {
		conns   int
		streams []StreamConfig
		want    int
	}{{0, nil, 0}, {7, nil, 7}, {7, some, 7}, {0, some, descriptors() / 2}} {
		c := Config{Limits: Limits{Conns: tt.conns}, Streams: tt.streams}
		if got := c.connsBeside(); got != tt.want {
			t.Errorf("conns: %d beside %d streams: %d, want %d", tt.conns, len(tt.streams), got, tt.want)
		}
	}
}
