package stream

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// helloOf is the ClientHello that crypto/tls sends.
func helloOf(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	c.InsecureSkipVerify = true // or it wants a name
	go func() {
		tls.Client(near, c).Handshake()
		near.Close()
	}()
	defer far.Close()
	header := make([]byte, 5)
	if _, err := io.ReadFull(far, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

// inRecords is a message of one record in records of so many bytes.
func inRecords(hello []byte, size int) (out []byte) {
	for body := hello[5:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out, body = append(out, body[:n]...), body[n:]
	}
	return out
}

func TestReadHello(t *testing.T) {
	named := helloOf(t, &tls.Config{ServerName: "Mail.Example.com"})
	old := helloOf(t, &tls.Config{ServerName: "mail.example.com", MaxVersion: tls.VersionTLS12})
	huge := bytes.Clone(named)
	huge[3], huge[4], huge[6], huge[7], huge[8] = 0x40, 0, 0, 0x3f, 0xfc
	huge = append(huge, make([]byte, maxHello)...)
	for _, tt := range []struct {
		what string
		sent []byte
		name string
		err  error
	}{
		{"with a name", named, "Mail.Example.com", nil},
		{"of TLS 1.2", old, "mail.example.com", nil},
		{"without a name", helloOf(t, &tls.Config{}), "", nil},
		{"in small records", inRecords(named, 7), "Mail.Example.com", nil},
		{"with something behind it", append(bytes.Clone(named), "early"...), "Mail.Example.com", nil},
		{"of more than there may be", huge, "", errHelloSize},
		{"of more records than there may be", inRecords(append(named[:5:5], make([]byte, 1<<15)...), 1), "", errNoHello},
		{"that is HTTP", []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "", errNoHello},
		{"of SSL 2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 3, 0, 0x80, 7, 0, 0xc0, 6, 0, 0x40}, "", errNoHello},
		{"that is another message", append([]byte{22, 3, 1, 0, 4}, 2, 0, 0, 0), "", errNoHello},
		{"that is an alert", []byte{21, 3, 1, 0, 2, 2, 80}, "", errNoHello},
		{"of a name with a NUL", bytes.Replace(named, []byte("Mail."), []byte("Mai\x00."), 1), "Mai\x00.Example.com", nil},
		{"of a name with a dot at its end", bytes.Replace(named, []byte("example.com"), []byte("example.co."), 1), "Mail.Example.com", nil},
		{"cut short", named[:len(named)-1], "", io.ErrUnexpectedEOF},
		{"of nothing", nil, "", io.EOF},
	} {
		for how, from := range map[string]io.Reader{
			"at once": bytes.NewReader(tt.sent), "byte by byte": iotest.OneByteReader(bytes.NewReader(tt.sent)),
		} {
			name, read, err := ReadHello(from)
			if name != tt.name || !isEither(err, tt.err) {
				t.Errorf("a hello %s, %s: %q and %v, want %q and %v", tt.what, how, name, err, tt.name, tt.err)
			}
			rest, _ := io.ReadAll(from)
			if err == nil && !bytes.Equal(append(read, rest...), tt.sent) {
				t.Errorf("a hello %s, %s: what was read and what is left is not what was sent", tt.what, how)
			}
		}
	}
}

// isEither also takes io.EOF for the unexpected one: it depends on what crypto/tls waited for.
func isEither(err, want error) bool {
	return errors.Is(err, want) || want == io.ErrUnexpectedEOF && err == io.EOF
}

// FuzzReadHello: whatever is sent, it is read as it came, no more than may be, and in the same way however it is split.
func FuzzReadHello(f *testing.F) {
	f.Add(helloOf(f, &tls.Config{ServerName: "a.example"}))
	f.Add(inRecords(helloOf(f, &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}), 100))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		name, read, err := ReadHello(bytes.NewReader(sent))
		if !bytes.HasPrefix(sent, read) || len(read) > maxHello {
			t.Fatalf("%d bytes were read, which were not sent", len(read))
		}
		if err != nil && name != "" {
			t.Errorf("the name %q of no hello: %v", name, err)
		}
		again, short, err2 := ReadHello(iotest.OneByteReader(bytes.NewReader(sent)))
		if again != name || (err == nil) != (err2 == nil) {
			t.Errorf("at once %q, %v; byte by byte %q, %v", name, err, again, err2)
		}
		if !strings.HasPrefix(string(sent), string(short)) {
			t.Error("byte by byte something else was read")
		}
	})
}
