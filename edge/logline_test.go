package edge

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"selvage/cache"
)

func exampleResult() *Result {
	return &Result{
		Begin: time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC), Client: addr("192.0.2.1"), Proto: "HTTP/1.1", Secure: true,
		Method: "GET", Host: "example.com", Target: "/a?b=c", Referer: "https://example.com/", Agent: "curl/8", Site: "shop", Route: "css",
		Looked: true, Outcome: cache.Miss, Reason: cache.URIMiss, NotStored: cache.NotStoredPrivate, Collapse: true,
		HasTTL: true, TTL: 60 * time.Second, Upstream: "10.0.0.1:80", Forward: 1500 * time.Microsecond, Origin: 200,
		Status: 200, Bytes: 1234, First: 2 * time.Millisecond, Total: 3 * time.Second, Error: "connection_terminated", Aborted: true,
	}
}

func TestLines(t *testing.T) {
	full, bare := exampleResult(), &Result{Begin: exampleResult().Begin, Proto: "HTTP/1.1", Method: "GET", Target: "/", Status: 421}
	for _, tt := range []struct {
		name   string
		encode lineEncoder
		r      *Result
		want   string
	}{
		{"json", appendJSON, full, `{"time":"2026-02-03T04:05:06.789Z","client":"192.0.2.1","proto":"HTTP/1.1","method":"GET","scheme":"https",` +
			`"host":"example.com","target":"/a?b=c","status":200,"bytes":1234,"first_ms":2.000,"total_ms":3000.000,"site":"shop","route":"css",` +
			`"cache":"miss","reason":"uri-miss","not_stored":"origin-private","collapsed":true,"ttl":60,"upstream":"10.0.0.1:80",` +
			`"origin_status":200,"origin_ms":1.500,"error":"connection_terminated","aborted":true,"referer":"https://example.com/","agent":"curl/8"}`},
		{"json, little to say", appendJSON, bare, `{"time":"2026-02-03T04:05:06.789Z","proto":"HTTP/1.1","method":"GET","scheme":"http","host":"",` +
			`"target":"/","status":421,"bytes":0,"first_ms":0.000,"total_ms":0.000,"cache":"none"}`},
		{"combined", appendCombined, full, `192.0.2.1 - - [03/Feb/2026:04:05:06 +0000] "GET /a?b=c HTTP/1.1" 200 1234 "https://example.com/" "curl/8"`},
		{"combined, little to say", appendCombined, bare, `- - - [03/Feb/2026:04:05:06 +0000] "GET / HTTP/1.1" 421 0 "-" "-"`},
		{"text", textEncoder(false), full, `04:05:06.789  200  miss       origin-private             3000.000 ms       1234 B  GET https://example.com/a?b=c  192.0.2.1  connection_terminated`},
		{"text, little to say", textEncoder(false), bare, `04:05:06.789  421  none                                     0.000 ms          0 B  GET http:///`},
		{"text in colour", textEncoder(true), bare, "04:05:06.789  \x1b[33m421\x1b[0m  none                                     0.000 ms          0 B  GET http:///"},
	} {
		if got := string(tt.encode(nil, tt.r)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// THREATS T34.
func TestLinesEscape(t *testing.T) {
	for _, tt := range []struct{ in, json, hex string }{
		{"plain é 日", "plain é 日", "plain é 日"},
		{"a\"b\\c", `a\"b\\c`, `a\"b\\c`},
		{"a\r\nb\x00", `a\u000d\u000ab\u0000`, `a\x0d\x0ab\x00`},
		{"\x1b[31m\x7f", `\u001b[31m\u007f`, `\x1b[31m\x7f`},
		{"\u009b31m", `\u009b31m`, `\xc2\x9b31m`}, // a terminal's CSI in one character
		{"\u2028\u202e", `\u2028\u202e`, `\xe2\x80\xa8\xe2\x80\xae`},
		{"a\xffb\xc3", `a\ufffdb\ufffd`, `a\xffb\xc3`},
		{"\U000e0001", `\udb40\udc01`, `\xf3\xa0\x80\x81`},
	} {
		if got := string(appendEscaped(nil, tt.in, escapeJSON)); got != tt.json {
			t.Errorf("%q in JSON: %s, want %s", tt.in, got, tt.json)
		}
		if got := string(appendEscaped(nil, tt.in, escapeHex)); got != tt.hex {
			t.Errorf("%q in text: %s, want %s", tt.in, got, tt.hex)
		}
	}
}

// Every byte at every place of a string that is otherwise plain, and beside a byte that may spoil its neighbour.
func TestPlainPrefix(t *testing.T) {
	for c := range 256 {
		plain := c >= ' ' && c <= '~' && c != '"' && c != '\\'
		for at := range 20 {
			for _, after := range []byte{'a', 0, 0x7f, 0x80, 0xff, '"', ' '} {
				s := []byte(strings.Repeat("~", 21))
				s[at], s[at+1] = byte(c), after
				want := at
				if plain {
					want = at + 1
					if after == 'a' || after == ' ' {
						want = len(s)
					}
				}
				if got := plainPrefix(string(s)); got != want {
					t.Fatalf("plainPrefix(%q) = %d, want %d", s, got, want)
				}
			}
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	huge := strings.Repeat("\x00", 1<<20)
	r := &Result{Method: huge, Host: huge, Target: huge, Referer: huge, Agent: huge, Error: huge}
	for name, encode := range map[string]lineEncoder{"json": appendJSON, "combined": appendCombined, "text": textEncoder(true)} {
		if n := len(encode(nil, r)); n > 6*6*maxLogged+1024 {
			t.Errorf("%s: a line of %d bytes", name, n)
		}
	}
}

// FuzzLogLine: one valid JSON line whatever was sent, and text that neither breaks the line nor drives a terminal.
func FuzzLogLine(f *testing.F) {
	f.Add("GET", "example.com", "/a?b", "https://example.com/", "curl/8")
	f.Add("G\r\nT", "a\"b", "/\x1b[2J\x00", "\\", "\xff\xfe\u2028\ufeff")
	f.Add("{", "}", "\",\"status\":200", "\xed\xa0\x80", "\U0010ffff")
	f.Fuzz(func(t *testing.T, method, host, target, referer, agent string) {
		r := &Result{Method: method, Host: host, Target: target, Referer: referer, Agent: agent, Proto: "HTTP/1.1", Error: agent}
		line := appendJSON(nil, r)
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if want := strings.ToValidUTF8(clip(target), "\ufffd"); utf8.ValidString(clip(target)) && got["target"] != want {
			t.Fatalf("target is read back as %q, want %q", got["target"], want)
		}
		if got["status"] != 0.0 {
			t.Fatalf("status is read back as %v: %s", got["status"], line)
		}
		for _, l := range [][]byte{line, appendCombined(nil, r), textEncoder(false)(nil, r)} {
			if !utf8.Valid(l) || bytes.ContainsFunc(l, func(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 }) {
				t.Fatalf("a line that is not printable UTF-8: %q", l)
			}
		}
	})
}

func BenchmarkLogLineJSON(b *testing.B) {
	r, buf := hitResult(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		appendJSON(buf, r)
	}
}

func BenchmarkLogLineCombined(b *testing.B) {
	r, buf := hitResult(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		appendCombined(buf, r)
	}
}
