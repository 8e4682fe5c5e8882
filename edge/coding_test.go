package edge

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/encode"
)

// withCodings has the stage make codings.
func (s *stage) withCodings(change func(*encode.Config)) {
	s.t.Helper()
	c := encode.DefaultConfig()
	if change != nil {
		change(&c)
	}
	conf := s.conf.Load().Config
	conf.Sites[0].Compress = &c
	if err := s.Reload(conf, map[string]Pool{"main": s}); err != nil {
		s.t.Fatal(err)
	}
}

// content returns what a client makes of an answer.
func (g received) content(t *testing.T) string {
	t.Helper()
	coding, _ := encode.Named(g.Header().Get("Content-Encoding"))
	if coding == encode.Identity {
		return g.Body.String()
	}
	r, err := encode.NewReader(bytes.NewReader(g.Body.Bytes()), coding, encode.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%d bytes of %v: %v", g.Body.Len(), coding, err)
	}
	return string(plain)
}

// page is worth encoding.
var page = strings.Repeat("<p>a line of a page that says much the same again and again</p>\n", 200)

func TestACodingIsStreamedAndThenKept(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.withCodings(nil)
		s.answer = func(*http.Request) (*http.Response, error) {
			return text(200, page, "Cache-Control: max-age=100", `Etag: "v1"`, "Content-Type: text/html", "Repr-Digest: sha-256=:AAAA:"), nil
		}
		first := s.ok("/a", "Accept-Encoding: gzip, br")
		if got := first.Header(); got.Get("Content-Encoding") != "br" || got.Get("Etag") != `W/"v1"` || got.Get("Accept-Ranges") != "none" ||
			got.Get("Vary") != "Accept-Encoding" || got.Get("Repr-Digest") != "" {
			t.Errorf("first answer: %v", got)
		}
		if first.content(t) != page {
			t.Error("the first answer decodes to something else")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		second := s.ok("/a", "Accept-Encoding: gzip, br")
		if got := second.Header(); got.Get("Content-Encoding") != "br" || !strings.HasPrefix(got.Get("Etag"), `"v1~br~`) || got.Get("Accept-Ranges") != "" {
			t.Errorf("second answer: %v", got)
		}
		if second.content(t) != page || second.Body.Len() >= first.Body.Len() {
			t.Errorf("%d bytes, after %d at first", second.Body.Len(), first.Body.Len())
		}
		if len(s.asked) != 1 || s.asked[0].Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("the origin was asked %d times, first with %v", len(s.asked), s.asked[0].Header)
		}
	})
}
