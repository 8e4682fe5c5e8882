package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFollower: one row per rule of RFC 9112 about what a response may look like.
func TestFollower(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, row := range []struct {
		rule   string
		method string // "" is GET
		answer string
		want   string // "whole", "more", "until close", "tunnel", or an error type
	}{
		// Section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]
		{"a reason is not needed", "", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "whole"},
		{"nor, to us, its SP", "", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "whole"},
		{"but the code ends there", "", "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n", typeProtocol},
		{"one SP before the code", "", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", typeProtocol},
		{"three digits", "", "HTTP/1.1 20 OK\r\n\r\n", typeProtocol},
		{"not four", "", "HTTP/1.1 2000 OK\r\n\r\n", typeProtocol},
		{"digits only", "", "HTTP/1.1 2x0 OK\r\n\r\n", typeProtocol},
		{"codes begin at 100", "", "HTTP/1.1 099 OK\r\n\r\n", typeProtocol},
		{"the version is 1.0 or 1.1", "", "HTTP/1.2 200 OK\r\n\r\n", typeProtocol},
		{"upper case", "", "http/1.1 200 OK\r\n\r\n", typeProtocol},
		{"no line before it", "", "\r\nHTTP/1.1 200 OK\r\n\r\n", typeProtocol},
		{"a reason holds obs-text", "", "HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n", "whole"},
		{"but no controls", "", "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", typeProtocol},

		// Section 2.2: lines end with CRLF; a bare CR or LF is nothing else
		{"bare LF after the status line", "", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", typeProtocol},
		{"bare LF after a field", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", typeProtocol},
		{"bare LF at the end", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", typeProtocol},
		{"bare CR in a value", "", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", typeProtocol},
		{"CR CR LF", "", "HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", typeProtocol},

		// Section 5: field-line = field-name ":" OWS field-value OWS
		{"NUL", "", "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", typeProtocol},
		{"DEL", "", "HTTP/1.1 200 OK\r\nA: b\x7fc\r\n\r\n", typeProtocol},
		{"HTAB in a value", "", "HTTP/1.1 200 OK\r\nA: b\tc\r\nContent-Length: 0\r\n\r\n", "whole"},
		{"an empty value", "", "HTTP/1.1 200 OK\r\nA:\r\nContent-Length: 0\r\n\r\n", "whole"},
		{"no whitespace before the colon", "", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", typeProtocol},
		{"a name is a token", "", "HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n", typeProtocol},
		{"a name is ASCII", "", "HTTP/1.1 200 OK\r\nContent\xa0Length: 0\r\n\r\n", typeProtocol},
		{"a name is there", "", "HTTP/1.1 200 OK\r\n: c\r\n\r\n", typeProtocol},
		{"a colon is there", "", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", typeProtocol},
		{"no fold (section 5.2)", "", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", typeProtocol},
		{"no fold with HTAB", "", "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n", typeProtocol},
		{"no fold before the first field", "", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", typeProtocol},

		// Section 6.2: Content-Length = 1*DIGIT
		{"a length", "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "whole"},
		{"any case, zeros, OWS", "", "HTTP/1.1 200 OK\r\ncONTENT-lENGTH: \t002 \r\n\r\nok", "whole"},
		{"a length not reached", "", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "more"},
		{"a sign", "", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", typeProtocol},
		{"a minus", "", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", typeProtocol},
		{"hexadecimal", "", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", typeProtocol},
		{"an empty length", "", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", typeProtocol},
		{"a list", "", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", typeProtocol},
		{"twice, equal", "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", typeProtocol},
		{"twice, different", "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", typeProtocol},
		{"over 63 bits", "", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", typeProtocol},

		// Sections 6.1 and 6.3
		{"chunked", "", chunked + "2\r\nok\r\n0\r\n\r\n", "whole"},
		{"any case of chunked", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "whole"},
		{"another coding", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", typeTransferCoding},
		{"a list of codings", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", typeTransferCoding},
		{"chunked twice", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", typeTransferCoding},
		{"chunked with a parameter", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n", typeTransferCoding},
		{"identity", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", typeTransferCoding},
		{"an empty coding", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", typeTransferCoding},
		{"a letter that folds to k", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chun\u212aed\r\n\r\n", typeTransferCoding},
		{"length before coding", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", typeProtocol},
		{"length after coding", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", typeProtocol},
		{"coding in HTTP/1.0", "", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", typeProtocol},
		{"neither length nor coding", "", "HTTP/1.1 200 OK\r\n\r\nany", "until close"},
		{"HTTP/1.0", "", "HTTP/1.0 200 OK\r\n\r\nany", "until close"},
		{"HEAD has no body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "whole"},
		{"HEAD of chunks has none", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "whole"},
		{"204 has none", "", "HTTP/1.1 204 No Content\r\n\r\n", "whole"},
		{"304 has none", "", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "whole"},
		{"304 to HEAD neither", "HEAD", "HTTP/1.1 304 Not Modified\r\n\r\n", "whole"},
		{"205 may have one", "", "HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok", "whole"},
		{"too much for its length", "", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", typeProtocol},
		{"a second answer", "", ok2 + ok2, typeProtocol},
		{"a body where none may be", "HEAD", ok2, typeProtocol},

		// Section 7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
		{"hexadecimal sizes", "", chunked + "a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n", "whole"},
		{"an extension", "", chunked + "2;a=b\r\nok\r\n0;c\r\n\r\n", "whole"},
		{"BWS before it", "", chunked + "2 ; a=\"b c\"\r\nok\r\n0\r\n\r\n", "whole"},
		{"only BWS", "", chunked + "2 \r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"BWS before the size", "", chunked + " 2\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"no size", "", chunked + "\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"only an extension", "", chunked + ";a\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"0x", "", chunked + "0x2\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"a negative size", "", chunked + "-2\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"a size of 17 digits", "", chunked + "00000000000000002\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"a size over 63 bits", "", chunked + "8000000000000000\r\n", typeTransferCoding},
		{"bare LF after a size", "", chunked + "2\nok\r\n0\r\n\r\n", typeProtocol},
		{"bare LF after the data", "", chunked + "2\r\nok\n0\r\n\r\n", typeProtocol},
		{"data longer than its size", "", chunked + "2\r\nokay\r\n0\r\n\r\n", typeTransferCoding},
		{"CR in an extension", "", chunked + "2;a\rb\r\nok\r\n0\r\n\r\n", typeProtocol},
		{"NUL in an extension", "", chunked + "2;a\x00\r\nok\r\n0\r\n\r\n", typeProtocol},
		{"an endless extension", "", chunked + "2;" + strings.Repeat("a", maxChunkLine) + "\r\nok\r\n0\r\n\r\n", typeTransferCoding},
		{"no last chunk", "", chunked + "2\r\nok\r\n", "more"},
		{"no end of trailers", "", chunked + "2\r\nok\r\n0\r\n", "more"},

		// Section 7.1.2
		{"trailers", "", chunked + "0\r\nA: b\r\nC: d\r\n\r\n", "whole"},
		{"a length among them", "", chunked + "0\r\nContent-Length: 2\r\n\r\n", typeProtocol},
		{"a coding among them", "", chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", typeProtocol},
		{"a fold among them", "", chunked + "0\r\nA: b\r\n c\r\n\r\n", typeProtocol},
		{"bare LF among them", "", chunked + "0\r\nA: b\n\r\n", typeProtocol},
		{"endless trailers", "", chunked + "0\r\n" + strings.Repeat("A: b\r\n", maxTrailer/6+1) + "\r\n", typeTrailerSectionSize},

		// RFC 9110, section 15.2
		{"interim responses", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok2, "whole"},
		{"only an interim response", "", "HTTP/1.1 100 Continue\r\n\r\n", "more"},
		{"101 unasked", "", "HTTP/1.1 101 Switching Protocols\r\n\r\n", typeProtocol},
		{"101", "upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00\x01\n", "tunnel"},
		{"declined upgrade", "upgrade", ok2, "whole"},
		{"too many", "", strings.Repeat("HTTP/1.1 102 P\r\n\r\n", maxInterim+1), typeProtocol},
		{"long heads add up", "", strings.Repeat("HTTP/1.1 103 E\r\nA: "+strings.Repeat("a", maxHead/4)+"\r\n\r\n", 4), typeHeaderSectionSize},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := follow(row.method, row.answer); got != row.want {
				t.Errorf("%.80q is %s, want %s", row.answer, got, row.want)
			}
		})
	}
}

// follow has a follower read answer, in one piece and byte by byte, and says what it makes of it.
func follow(method, answer string) string {
	whole, bytewise := newFollower(method), newFollower(method)
	_, failure := whole.follow([]byte(answer))
	var single *Failure
	for i := 0; i < len(answer) && single == nil; i++ {
		_, single = bytewise.follow([]byte{answer[i]})
	}
	switch {
	case (failure == nil) != (single == nil):
		return "something else byte by byte"
	case failure != nil:
		return failure.Type
	case whole.state != bytewise.state || whole.left != bytewise.left:
		return "something else byte by byte"
	case whole.state == idle:
		return "whole"
	case whole.state == untilClose:
		return "until close"
	case whole.state == tunnel:
		return "tunnel"
	default:
		return "more"
	}
}

func newFollower(method string) *follower {
	f := new(follower)
	if method == "upgrade" {
		f.begin("GET", true)
	} else {
		f.begin(method, false)
	}
	return f
}

// agreesOnPlainHead compares what is made of a plain head with what net/http has.
func agreesOnPlainHead(t *testing.T, answer []byte, want *http.Response) {
	t.Helper()
	end := bytes.Index(answer, []byte("\r\n\r\n"))
	f := newFollower(http.MethodGet)
	f.follow(answer[:end+4])
	if !f.last.isPlain() {
		return
	}
	got := plainHead(string(answer[:end]), f.last)
	if got.Header["Cache-Control"] == nil {
		delete(want.Header, "Cache-Control") // see TestNothingIsInvented
	}
	want.Body, want.Request = nil, nil
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("%q (-net/http +ours):\n%s", answer, diff)
	}
}

// FuzzFollower: what the follower takes for a whole answer, net/http takes for the same answer, or for none.
func FuzzFollower(f *testing.F) {
	for _, seed := range []string{
		ok2,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2;x=\"y\"\r\nok\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 404 \r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 404 \r\nconnection: Keep-Alive\r\ncontent-length: 02\r\nx:\t 1 \r\nX: 2\r\nE:\r\n\r\nok",
		"HTTP/1.1 200\r\nPragma: no-cache\r\nTrailer: X\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, answer []byte, isHead bool) {
		method := http.MethodGet
		if isHead {
			method = http.MethodHead
		}
		verdict := follow(method, string(answer))
		if verdict == "something else byte by byte" {
			t.Fatalf("%q is %s", answer, verdict)
		}
		code, length := readAlong(method, answer)
		if verdict != "whole" && verdict != "until close" {
			return
		}
		response, body, err := readByNetHTTP(method, answer)
		if err != nil {
			return // refusing more is no danger
		}
		if response.StatusCode != code || len(body) != length {
			t.Errorf("%q: %d with %d bytes, net/http has %d with %d", answer, code, length, response.StatusCode, len(body))
		}
		if !isHead {
			agreesOnPlainHead(t, answer, response)
		}
	})
}

// readAlong returns the final status of answer and the length of its body, as a follower sees them.
func readAlong(method string, answer []byte) (code, length int) {
	f := newFollower(method)
	for _, c := range answer {
		switch f.state {
		case fieldLine:
			code = f.head.code
		case counted, chunkData, untilClose:
			length++
		}
		f.follow([]byte{c})
	}
	return code, length
}

// readByNetHTTP reads the final response of answer as http.Transport would.
func readByNetHTTP(method string, answer []byte) (*http.Response, []byte, error) {
	br := bufio.NewReader(bytes.NewReader(answer))
	for {
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			body, err := io.ReadAll(response.Body)
			return response, body, err
		}
	}
}
