package lane

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type chunkRow struct {
	rule string
	raw  string
	ok   bool
}

// chunkRows: RFC 9112, section 7.1.
var chunkRows = []chunkRow{
	{"no data", "0\r\n\r\n", true},
	{"one chunk", "5\r\nhello\r\n0\r\n\r\n", true},
	{"upper and lower case digits", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", true},
	{"zeros in front", "0005\r\nhello\r\n000\r\n\r\n", true},
	{"16 digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", true},
	{"data that looks like framing", "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", true},
	{"extension", "5;a\r\nhello\r\n0;b=c\r\n\r\n", true},
	{"extension with quotes", "5;a=\"b; c\"\r\nhello\r\n0\r\n\r\n", true},
	{"extensions with whitespace", "5; a = b; c\r\nhello\r\n0\r\n\r\n", true},
	{"trailer", "0\r\nX: y\r\n\r\n", true},
	{"trailers", "5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n", true},
	{"trailers of the limit", "0\r\nX: " + repeat("y", 4096-3-4) + "\r\n\r\n", true},
	{"many small extensions", repeat("1;abcdefg\r\nx\r\n", 1000) + "0\r\n\r\n", true},
	{"a byte a chunk", repeat("1\r\nx\r\n", 10000) + "0\r\n\r\n", true},

	{"no size", "\r\nhello\r\n0\r\n\r\n", false},
	{"empty line for the last chunk", "5\r\nhello\r\n\r\n", false},
	{"space before the size", " 5\r\nhello\r\n0\r\n\r\n", false},
	{"space after the size", "5 \r\nhello\r\n0\r\n\r\n", false},
	{"tab after the size", "5\t\r\nhello\r\n0\r\n\r\n", false},
	{"space before the extension", "5 ;a\r\nhello\r\n0\r\n\r\n", false},
	{"space after the extension", "5;a \r\nhello\r\n0\r\n\r\n", false},
	{"0x", "0x5\r\nhello\r\n0\r\n\r\n", false},
	{"plus", "+5\r\nhello\r\n0\r\n\r\n", false},
	{"minus", "-5\r\nhello\r\n0\r\n\r\n", false},
	{"underscore", "1_0\r\nhellohellohello!\r\n0\r\n\r\n", false},
	{"no digit", "g\r\nhello\r\n0\r\n\r\n", false},
	{"digit beyond ASCII", "\xb5\r\nhello\r\n0\r\n\r\n", false},
	{"comma", "5,a\r\nhello\r\n0\r\n\r\n", false},
	{"quoted size", "\"5\"\r\nhello\r\n0\r\n\r\n", false},
	{"17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", false},
	{"2^64", "10000000000000000\r\nhello\r\n0\r\n\r\n", false},
	{"2^64-1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", false},
	{"2^63", "8000000000000000\r\nhello\r\n0\r\n\r\n", false},
	{"2^60", "1000000000000000\r\nhello\r\n0\r\n\r\n", false},
	{"LF after the size", "5\nhello\r\n0\r\n\r\n", false},
	{"CR after the size", "5\rhello\r\n0\r\n\r\n", false},
	{"CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n", false},
	{"LF CR after the size", "5\n\rhello\r\n0\r\n\r\n", false},
	{"NUL after the size", "5\x00\r\nhello\r\n0\r\n\r\n", false},
	{"NUL in the extension", "5;a\x00\r\nhello\r\n0\r\n\r\n", false},
	{"LF in the extension", "5;\nhello\r\n0\r\n\r\n", false},
	{"LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", false},
	{"CR in the extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", false},
	{"DEL in the extension", "5;a\x7f\r\nhello\r\n0\r\n\r\n", false},
	{"extension beyond ASCII", "5;\xc3\xa9\r\nhello\r\n0\r\n\r\n", false},
	{"long extension", "5;" + repeat("a", 2000) + "\r\nhello\r\n0\r\n\r\n", false},
	{"extension without end", "5;" + repeat("a", 20000), false},
	{"many extensions", repeat("1;"+repeat("a", 500)+"\r\nx\r\n", 20) + "0\r\n\r\n", false},
	{"LF after the data", "5\r\nhello\n0\r\n\r\n", false},
	{"CR after the data", "5\r\nhello\r0\r\n\r\n", false},
	{"nothing after the data", "5\r\nhello0\r\n\r\n", false},
	{"data too long", "5\r\nhello!\r\n0\r\n\r\n", false},
	{"data too short", "5\r\nhell\r\n0\r\n\r\n", false},
	{"two line ends after the data", "5\r\nhello\r\n\r\n0\r\n\r\n", false},
	{"LF after the last chunk", "0\n\r\n", false},
	{"LF at the end", "0\r\n\n", false},
	{"CR at the end", "0\r\n\rX", false},
	{"extension in the last chunk, with NUL", "0;\x00\r\n\r\n", false},
	{"request as trailers", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"trailer without colon", "0\r\nX\r\n\r\n", false},
	{"trailer with a space", "0\r\nX : y\r\n\r\n", false},
	{"trailer without name", "0\r\n: y\r\n\r\n", false},
	{"folded trailer", "0\r\nX: y\r\n z\r\n\r\n", false},
	{"folded trailer at first", "0\r\n X: y\r\n\r\n", false},
	{"trailer ended by LF", "0\r\nX: y\n\r\n", false},
	{"trailers ended by LF", "0\r\nX: y\r\n\n", false},
	{"NUL in a trailer", "0\r\nX: \x00\r\n\r\n", false},
	{"CR in a trailer", "0\r\nX: a\rb\r\n\r\n", false},
	{"trailers beyond the limit", "0\r\nX: " + repeat("y", 4096-3-3) + "\r\n\r\n", false},
	{"trailers without end", "0\r\n" + repeat("X: y\r\n", 10000), false},
}

// forbidden in trailers: RFC 9110, section 6.5.1.
var forbiddenRows = []string{
	"Transfer-Encoding", "Content-Length", "Host", "Trailer", "TE", "Connection", "Keep-Alive", "Upgrade", "Expect",
	"Authorization", "Cookie", "Set-Cookie", "Cache-Control", "Pragma", "Range", "Content-Encoding", "Content-Type",
	"Content-Range", "Max-Forwards", "If-Match", "If-None-Match", "If-Range", "Proxy-Authorization", "Proxy-Connection",
	"X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via", "CDN-Loop", "content-length", "TRANSFER-ENCODING",
}

func allChunkRows() []chunkRow {
	rows := slices.Clone(chunkRows)
	for _, name := range forbiddenRows {
		rows = append(rows, chunkRow{"trailer " + name, "2\r\nhi\r\n0\r\nX: y\r\n" + name + ": 1\r\n\r\n", false})
	}
	return rows
}

// TestChunks sends every row as the body of a request. A malformed one is a 400 by the handler and the end of the
// connection: the request behind it is never answered.
func TestChunks(t *testing.T) {
	for _, row := range allChunkRows() {
		for _, bytewise := range []bool{false, true} {
			if bytewise && len(row.raw) > 8<<10 {
				continue
			}
			synctest.Test(t, func(t *testing.T) { checkChunkRow(t, row, bytewise) })
		}
	}
}

func checkChunkRow(t *testing.T, row chunkRow, bytewise bool) {
	r := newRig(t, echo, nil).start(nil)
	want := []int{200, 400}
	if row.ok {
		want = []int{200, 200, 200}
	}
	raw := "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + row.raw +
		"GET /behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	start := time.Now()
	if got := exchange(t, r.l.dial(), raw, bytewise); !slices.Equal(got, want) {
		t.Errorf("%s, bytewise %v: statuses %v, want %v", row.rule, bytewise, got, want)
	}
	if waited := time.Since(start); waited > 0 {
		t.Errorf("%s: answered after %v, want at once", row.rule, waited)
	}
}

// TestMalformedBody: the handler can tell, by the error, a body that is malformed from one that was cut.
func TestMalformedBody(t *testing.T) {
	for name, end := range map[string]string{"malformed": "x\r\n", "cut": "5\r\nhel", "trailer": "0\r\nHost: b\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			errs := make(chan error, 1)
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				errs <- err
			}, nil).start(nil)
			c := r.l.dial()
			defer c.Close()
			send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"+end)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			want := "unexpected EOF"
			if name != "cut" {
				want = ErrMalformedBody.Error()
			}
			if err := <-errs; fmt.Sprint(err) != want {
				t.Errorf("%s: error %v, want %s", name, err, want)
			}
			readStatuses(t, bufio.NewReader(c))
		})
	}
}
