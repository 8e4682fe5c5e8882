package lane

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type headRow struct {
	rule   string // what the row is about
	raw    string
	status int // of the only answer, or of the first of two
}

// lineRows: RFC 9112, section 3.
var lineRows = []headRow{
	{"origin-form", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"any method token", "BREW-2 / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"methods are case-sensitive, and tokens", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 200},
	{"HTTP/1.0 with Host", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 200},
	{"asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute-form", "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute-form, port", "GET http://a:81/b?c HTTP/1.1\r\nHost: A:81\r\n\r\n", 200},
	{"absolute-form, no path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute-form, query only", "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute-form, https, upper case", "GET HTTPS://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"absolute-form, HTTP/1.0 without Host", "GET http://a/ HTTP/1.0\r\n\r\n", 200},
	{"bytes that RFC 3986 forbids and clients send", "GET /a|b^c\"d<e>[f]{g}`\\?h|i HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"escapes", "GET /%41%2f%00?%zz HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"double slash", "GET //a HTTP/1.1\r\nHost: a\r\n\r\n", 200},

	{"leading CRLF", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"leading space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"leading NUL", "\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two spaces after method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two spaces after target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"tab for space", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"vertical tab", "GET\v/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"method with colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"method with bracket", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"method beyond ASCII", "G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/0.9", "GET /\r\n\r\n", 400},
	{"no version", "GET / \r\nHost: a\r\n\r\n", 400},
	{"lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1.", "GET / HTTP/1.\r\nHost: a\r\n\r\n", 400},
	{"HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400},
	{"HTTPS/1.1", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400},
	{"ICY", "GET / ICY/1.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
	{"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501},
	{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 501},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"fragment in the query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target beyond ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"query beyond ASCII", "GET /?\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"ESC in the target", "GET /\x1b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"cut escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"lone percent", "GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target of dots", "GET ../a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"query alone", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk and more", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"authority-form for GET", "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400},
	{"opaque URL", "GET http:a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"one slash", "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no authority", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"file", "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"user information", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"user and password", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"authority is not Host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
	{"authority's port is not Host's", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"authority and no Host", "GET http://a/ HTTP/1.1\r\n\r\n", 400},
	{"authority is not Host, HTTP/1.0", "GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n", 400},
}

// fieldRows: RFC 9112, sections 2.2 and 5; RFC 9110, section 5.5.
var fieldRows = []headRow{
	{"a field again, in other letters", "GET / HTTP/1.1\r\nHost: a\r\nX-a: 1\r\nY: 2\r\nx-A:3 \r\nY:\r\nx-a: 4\r\n\r\n", 200},
	{"Pragma alone", "GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n", 200},
	{"Pragma beside Cache-Control", "GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\nCache-Control: max-age=1\r\n\r\n", 200},
	{"Pragma that is unknown", "GET / HTTP/1.1\r\nHost: a\r\nPragma: x\r\nPragma: no-cache\r\n\r\n", 200},
	{"value with tab", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", 200},
	{"value beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\n\r\n", 200},
	{"empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", 200},
	{"whitespace around the value", "GET / HTTP/1.1\r\nHost: \t a \t\r\nX:  \t \r\n\r\n", 200},
	{"name of odd tokens", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~9: b\r\n\r\n", 200},
	{"colons in the value", "GET / HTTP/1.1\r\nHost: a\r\nX::: b\r\n\r\n", 200},
	{"h2c is the handler's to strip", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200},

	{"bare LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	{"bare LF ends a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
	{"bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
	{"bare LFs only", "GET / HTTP/1.1\nHost: a\n\n", 400},
	{"LF CR", "GET / HTTP/1.1\n\rHost: a\n\r\n\r", 400},
	{"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
	{"bare CR in the request line", "GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"bare CR ends a field", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400},
	{"bare CR ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", 400},
	{"BEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \a\r\n\r\n", 400},
	{"ESC in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
	{"fold with space", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
	{"fold with tab", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400},
	{"fold of nothing", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n \r\n\r\n", 400},
	{"fold at the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"fold that hides a length", "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n Content-Length: 5\r\n\r\nhello", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
	{"tab before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", 400},
	{"space in the name", "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
	{"name with bracket", "GET / HTTP/1.1\r\nHost: a\r\nX[]: b\r\n\r\n", 400},
	{"name with slash", "GET / HTTP/1.1\r\nHost: a\r\nX/Y: b\r\n\r\n", 400},
	{"name with quote", "GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n", 400},
	{"name with comma", "GET / HTTP/1.1\r\nHost: a\r\nX,Y: b\r\n\r\n", 400},
	{"name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa9: b\r\n\r\n", 400},
	{"name with no-break space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\xa0: 5\r\n\r\nhello", 400},

	{"Expect", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", 200},
	{"Expect, upper case", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-Continue\r\n\r\n", 200},
	{"Expect in HTTP/1.0", "POST / HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", 200},
	{"another expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417},
	{"two expectations", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", 417},
	{"Expect twice", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 417},
	{"empty Expect", "GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", 417},
	{"Expect with a parameter", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;q=1\r\n\r\n", 417},
	{"obfuscated Expect", "GET / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\n\r\n", 417},
}

// hostRows: the value of Host, or whole fields when it begins with "Host:". RFC 9112, section 3.2; RFC 3986, section 3.2.
var hostRows = []headRow{
	{"name", "example.com", 200},
	{"port", "example.com:8080", 200},
	{"trailing dot", "example.com.", 200},
	{"underscore", "a_b.example", 200},
	{"IPv4", "192.0.2.1:80", 200},
	{"IPv6", "[2001:db8::1]", 200},
	{"IPv6 and port", "[::1]:443", 200},
	{"IPv6 with an IPv4 tail", "[::ffff:192.0.2.1]", 200},

	{"none", "Host-Not: a", 400},
	{"empty", "", 400},
	{"twice, equal", "a\r\nHost: a", 400},
	{"twice, different", "a\r\nHost: b", 400},
	{"twice, other case", "a\r\nhOST: a", 400},
	{"list", "a, b", 400},
	{"list without space", "a,b", 400},
	{"space within", "a b", 400},
	{"tab within", "a\tb", 400},
	{"user information", "u@a", 400},
	{"path", "a/b", 400},
	{"query", "a?b", 400},
	{"fragment", "a#b", 400},
	{"URL", "http://a", 400},
	{"backslash", "a\\b", 400},
	{"quote", "a\"b", 400},
	{"angle bracket", "a<b", 400},
	{"semicolon", "a;b", 400},
	{"equals", "a=b", 400},
	{"escape", "a%2eb", 400},
	{"asterisk", "*.a", 400},
	{"tilde", "a~b", 400},
	{"beyond ASCII", "\xc3\xa9", 400},
	{"no name", ":80", 400},
	{"no port", "a:", 400},
	{"port 0", "a:0", 400},
	{"port too large", "a:65536", 400},
	{"port with zeros", "a:000080", 400},
	{"port with a sign", "a:+80", 400},
	{"port with letters", "a:8o", 400},
	{"port twice", "a:80:80", 400},
	{"IPv6 without brackets", "::1", 400},
	{"IPv6 without end", "[::1", 400},
	{"IPv6 without begin", "::1]", 400},
	{"IPv6 and more", "[::1]a", 400},
	{"IPv6 with a zone", "[fe80::1%25eth0]", 400},
	{"IPv4 in brackets", "[192.0.2.1]", 400},
	{"empty brackets", "[]", 400},
	{"name in brackets", "[a]", 400},
	{"too long", repeat("a", 262), 400},
}

// framingRows: fields of a POST, and what follows the head. RFC 9112, section 6; RFC 9110, section 8.6.
var framingRows = []headRow{
	{"no body", "\r\n", 200},
	{"length", "Content-Length: 5\r\n\r\nhello", 200},
	{"length 0", "Content-Length: 0\r\n\r\n", 200},
	{"chunked", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
	{"chunked, other case", "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 200},
	{"chunked with whitespace around", "Transfer-Encoding: \t chunked \t\r\n\r\n0\r\n\r\n", 200},

	{"CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
	{"TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400},
	{"CL.TE with length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE of another coding and CL", "Transfer-Encoding: gzip, chunked\r\nContent-Length: 4\r\n\r\n", 501},

	{"length twice, equal", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"length twice, different", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
	{"length twice, other case", "Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello", 400},
	{"list of equal lengths", "Content-Length: 5, 5\r\n\r\nhello", 400},
	{"list of lengths", "Content-Length: 5,6\r\n\r\nhello", 400},
	{"empty length", "Content-Length:\r\n\r\n", 400},
	{"blank length", "Content-Length: \t \r\n\r\n", 400},
	{"plus", "Content-Length: +5\r\n\r\nhello", 400},
	{"minus", "Content-Length: -5\r\n\r\nhello", 400},
	{"minus 0", "Content-Length: -0\r\n\r\n", 400},
	{"zeros in front", "Content-Length: 05\r\n\r\nhello", 400},
	{"two zeros", "Content-Length: 00\r\n\r\n", 400},
	{"hexadecimal", "Content-Length: 0x5\r\n\r\nhello", 400},
	{"hexadecimal digits", "Content-Length: a\r\n\r\nhello", 400},
	{"fraction", "Content-Length: 5.0\r\n\r\nhello", 400},
	{"exponent", "Content-Length: 5e0\r\n\r\nhello", 400},
	{"underscore", "Content-Length: 1_0\r\n\r\nhellohello", 400},
	{"space within", "Content-Length: 1 0\r\n\r\nhellohello", 400},
	{"letters after", "Content-Length: 5a\r\n\r\nhello", 400},
	{"quoted", "Content-Length: \"5\"\r\n\r\nhello", 400},
	{"semicolon", "Content-Length: 5;\r\n\r\nhello", 400},
	{"digits beyond ASCII", "Content-Length: \xd9\xa5\r\n\r\nhello", 400},
	{"2^63", "Content-Length: 9223372036854775808\r\n\r\n", 400},
	{"2^64+5", "Content-Length: 18446744073709551621\r\n\r\nhello", 400},
	{"many digits", "Content-Length: " + repeat("9", 100) + "\r\n\r\n", 400},
	{"space before the colon", "Content-Length : 5\r\n\r\nhello", 400},

	{"TE in HTTP/1.0", "1.0Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE in HTTP/1.0 beside CL", "1.0Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"chunked beneath another coding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"a custom coding", "Transfer-Encoding: x-foo,chunked\r\n\r\n0\r\n\r\n", 501},
}

// encodings that are not exactly chunked: RFC 9112, section 6.3, and the ways to hide one from somebody.
var badEncodings = []string{
	"", " ", ",", "gzip", "identity", "xchunked", "chunkedx", "chunke", "chunked,", ",chunked", "chunked, chunked",
	"chunked,identity", "identity; chunked", "chunked, gzip", "chunked;q=1", "chunked; q=1", "chunked ; a", "\"chunked\"",
	"'chunked'", "chunk ed", "chun\tked", "chunked\x0b", "\x0bchunked", "\x0cchunked", "\x00chunked", "chunked\x00",
	"chunked\x7f", "\xa0chunked", "chunked\xa0", "\xe2\x80\x8bchunked", "chunked\xff", "chunKed.", "chunked:", ":chunked",
	"=chunked", "chunked=", "{chunked}", "[chunked]", "(chunked)", "chunked (x)", "c\u04bbunked", "\u212ahunked", "cow", "chunked\\",
	"gzip,,chunked", "gzip, chunked,", "chunked gzip", "gzip;a, chunked", "chunked\tchunked", "chunked, , chunked",
}

// badEncodingFields are whole fields or several.
var badEncodingFields = []string{
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
	"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\ntransfer-encoding: x",
	"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked",
	"Transfer-Encoding:\r\n chunked", "Transfer-Encoding:\n chunked", "X: y\nTransfer-Encoding: chunked",
	"X: y\rTransfer-Encoding: chunked", "Transfer-Encoding\r\n: chunked", "Transfer-Encoding\xa0: chunked", "Transfer Encoding: chunked",
	"Trailer: Transfer-Encoding\r\nTransfer-Encoding: chunked", "Trailer: X, content-length", "Trailer: Host", "Trailer: a b",
}

// limitRows: T24, the limits being those of testLimits.
var limitRows = []headRow{
	{"request line of the limit", "GET /" + repeat("a", 1024-16) + " HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	{"request line beyond it", "GET /" + repeat("a", 1024-15) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"request line without end", "GET /" + repeat("a", 1<<12), 414},
	{"method without end", repeat("A", 1<<12), 414},
	{"20 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeat("X: y\r\n", 19) + "\r\n", 200},
	{"21 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeat("X: y\r\n", 20) + "\r\n", 431},
	{"head of the limit", "GET / HTTP/1.1\r\nHost: a\r\nX: " + repeat("y", 8192-16-9-3-4) + "\r\n\r\n", 200},
	{"head beyond it", "GET / HTTP/1.1\r\nHost: a\r\nX: " + repeat("y", 8192-16-9-3-3) + "\r\n\r\n", 431},
	{"field without end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + repeat("y", 10000), 431},
	{"10,000 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + repeat("X: 1234567\r\n", 10000), 431},
}

// allHeadRows puts the tables together as whole messages.
func allHeadRows() []headRow {
	rows := slices.Concat(lineRows, fieldRows, limitRows)
	for _, r := range hostRows {
		field := "Host: " + r.raw
		if strings.HasPrefix(r.raw, "Host-Not") {
			field = r.raw
		}
		rows = append(rows, headRow{"Host: " + r.rule, "GET / HTTP/1.1\r\n" + field + "\r\n\r\n", r.status})
		if !strings.HasPrefix(r.raw, "Host-Not") {
			rows = append(rows, headRow{"HTTP/1.0, Host: " + r.rule, "GET / HTTP/1.0\r\n" + field + "\r\n\r\n", r.status})
		}
	}
	for _, r := range framingRows {
		version, fields := "1.1", r.raw
		if rest, ok := strings.CutPrefix(fields, "1.0"); ok {
			version, fields = "1.0", rest
		}
		rows = append(rows, headRow{r.rule, "POST / HTTP/" + version + "\r\nHost: a\r\n" + fields, r.status})
	}
	for _, e := range badEncodings {
		rows = append(rows,
			headRow{fmt.Sprintf("coding %q", e), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + e + "\r\n\r\n0\r\n\r\n", 400},
			headRow{fmt.Sprintf("coding %q beside a length", e), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: " + e + "\r\n\r\nhello", 400})
	}
	for _, e := range badEncodingFields {
		rows = append(rows, headRow{fmt.Sprintf("fields %q", e), "POST / HTTP/1.1\r\nHost: a\r\n" + e + "\r\n\r\n0\r\n\r\n", 400})
	}
	return rows
}

// TestHeads sends every row to a whole server: at once and byte by byte, on a fresh connection and behind requests that
// came before it.
func TestHeads(t *testing.T) {
	const (
		get  = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
		post = "POST /before HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: u\r\n\r\n"
		end  = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	)
	for _, row := range allHeadRows() {
		for _, before := range []string{"", get, post, get + post} {
			for _, bytewise := range []bool{false, true} {
				if bytewise && len(row.raw) > 1<<10 && before != "" {
					continue // nothing new, and slow
				}
				synctest.Test(t, func(t *testing.T) {
					checkHeadRow(t, row, before, bytewise, end)
				})
			}
		}
	}
}

func checkHeadRow(t *testing.T, row headRow, before string, bytewise bool, end string) {
	r := newRig(t, echo, nil).start(nil)
	want := make([]int, strings.Count(before, "/before"), 4)
	for i := range want {
		want[i] = 200
	}
	want = append(want, row.status)
	closes := row.status != 200 || strings.Contains(row.raw, "HTTP/1.0")
	if !closes {
		want = append(want, 200)
	}
	start := time.Now()
	if got := exchange(t, r.l.dial(), before+row.raw+end, bytewise); !slices.Equal(got, want) {
		t.Errorf("%s, after %q, bytewise %v: statuses %v, want %v\n%q", row.rule, before, bytewise, got, want, row.raw)
	}
	if waited := time.Since(start); waited > 0 {
		t.Errorf("%s: answered after %v, want at once", row.rule, waited)
	}
	if refused := len(r.refusals); (refused == 1) != (row.status != 200) {
		t.Errorf("%s: %d refusals told", row.rule, refused)
	}
}

// TestHeadsFailEarly: the fault is found at its byte, without waiting for the end of the head.
func TestHeadsFailEarly(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\n", "\n", "G\x00", "GET / HTTP/1.1\rX", "GET / HTTP/1.1\r\n ", "GET / HTTP/1.1\r\nHost: a\r\n\t",
		"GET / HTTP/1.1\r\nA : b\r\n", "GET / HTTP/2.0\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a,b\r\n",
	} {
		h := newHead(testLimits)
		if _, f := h.scan([]byte(raw)); f == nil {
			t.Errorf("%q: no fault at its last byte", raw)
		}
		h = newHead(testLimits)
		if _, f := h.scan([]byte(raw[:len(raw)-1])); f != nil {
			t.Errorf("%q: fault %s before its last byte", raw, f.reason)
		}
	}
}

// TestRefusal: what the client and the owner are told.
func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, nil).start(nil)
		c := r.l.dial()
		defer c.Close()
		send(t, c, "GET /secret#x HTTP/1.1\r\nHost: a\r\n\r\n")
		got := make([]byte, 1<<12)
		n, _ := c.Read(got)
		want := "HTTP/1.1 400 Bad Request\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n" +
			"Content-Length: 24\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n400 Bad Request: target\n"
		if string(got[:n]) != want {
			t.Errorf("answer %q, want %q", got[:n], want)
		}
		f := <-r.refusals
		if f.Status != 400 || f.Reason != "target" || string(f.Line) != "GET /secret#x HTTP/1.1" || f.Secure || f.Remote == nil || f.Conn == 0 {
			t.Errorf("refusal %+v", f)
		}
		if n := r.Stats().Refused["target"]; n != 1 {
			t.Errorf("refused[target] = %d, want 1", n)
		}
	})
}

// TestRefusalTellsRequestLinesOnly: T37. A client that has lost count sends other things where a request line should be.
func TestRefusalTellsRequestLinesOnly(t *testing.T) {
	for line, told := range map[string]bool{
		"GET /a b HTTP/1.1":             true,
		"GET /a HTTP/1.1\n":             true,
		"OPTIONS *\t HTTP/1.1":          true,
		"GET https://a/#b HTTP/1.1":     true,
		"CONNECT a:443 HTTP/1.1":        true,
		"GET /a":                        true,
		"Authorization: Bearer secret":  false,
		"Authorization: secret\n":       false,
		"user=a&password=secret":        false,
		`{"password": "secret"}`:        false,
		"secret words that run on":      false,
		"\x16\x03\x01\x02\x00\x01 /a b": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, echo, nil).start(nil)
			c := r.l.dial()
			send(t, c, line+"\r\n\r\n")
			defer func() { _ = c.Close() }()
			if f := <-r.refusals; (len(f.Line) > 0) != told {
				t.Errorf("%q: the refusal tells %q", line, f.Line)
			}
		})
	}
}
