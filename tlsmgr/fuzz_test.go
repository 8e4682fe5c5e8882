package tlsmgr

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// recording keeps what a client sends.
type recording struct {
	net.Conn
	sent []byte
}

func (r *recording) Write(p []byte) (int, error) {
	r.sent = append(r.sent, p...)
	return len(p), nil
}

func (r *recording) Read([]byte) (int, error) { return 0, io.EOF }

// clientHello is what a client begins with.
func clientHello(config *tls.Config) []byte {
	r := new(recording)
	_ = tls.Client(r, config).Handshake() // nobody answers
	return r.sent
}

// FuzzHandshake: whatever a client begins with, the handshake ends, with an error for all but a whole one.
func FuzzHandshake(f *testing.F) {
	hello := clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{"h2"}})
	f.Add(hello)
	f.Add(clientHello(&tls.Config{ServerName: "stranger.test", MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP256}}))
	f.Add(hello[:len(hello)/2])
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"))
	f.Add([]byte{22, 3, 1, 0xff, 0xff, 1})
	m := newManager(f, options(Listener{SelfSigned: true}, internalSite("a.test", "*.b.test")))
	config, err := m.TLS(":443")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		go func() {
			go io.Copy(io.Discard, near)
			near.Write(sent)
			near.Close()
		}()
		far.SetDeadline(time.Now().Add(5 * time.Second))
		if err := tls.Server(far, config).Handshake(); err == nil {
			t.Error("a handshake that nobody finished has succeeded")
		}
		far.Close()
	})
}

// FuzzNames: a name finds what spells it, or what has a star for one label of it or more; any other finds nothing.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"", ".", "a.test", "A.Test.", "x.b.test", ".b.test", "b.test", "[::1]", "*.b.test"} {
		f.Add(name)
	}
	n := newNames[string]()
	n.add("a.test", "a")
	n.add("*.b.test", "b")
	f.Fuzz(func(t *testing.T, name string) {
		name = canonicalName(name)
		want := ""
		switch {
		case name == "a.test":
			want = "a"
		case len(name) > len(".b.test") && strings.HasSuffix(name, ".b.test"):
			want = "b"
		}
		if got := n.find(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	})
}
