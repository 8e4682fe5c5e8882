package tlsmgr

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFilesAreReadAgain: a renewed certificate is taken up while the node runs; one that cannot be used is told of once,
// and the old one stays.
func TestFilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, folder := newTestCA(t), t.TempDir()
		names := []string{"a.example"}
		file := ca.files(t, folder, "a", order{subject: "first", names: names})
		var log logbook
		o := options(Listener{}, Site{Name: "a", Hosts: names, SiteConfig: SiteConfig{Certificates: []FileConfig{file}}})
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		m := newManager(t, o)
		stop := running(t, m)
		defer stop()
		other, _ := ca.issue(t, order{subject: "other", names: names})
		for _, step := range []struct {
			what   string
			change func()
			want   string // the certificate served
			says   string
		}{
			{"nothing changed", func() {}, "first", ""},
			{"renewed", func() { ca.files(t, folder, "a", order{subject: "second", names: names}) }, "second", "read again"},
			{"a certificate without its key", func() { write(t, file.Cert, other) }, "second", "private key does not match public key"},
			{"no PEM", func() { write(t, file.Cert, []byte("mistake")) }, "second", "failed to find any PEM data"},
			{"gone", func() { os.Remove(file.Cert) }, "second", "no such file"},
			{"expired", func() {
				ca.files(t, folder, "a", order{subject: "late", names: names, until: time.Now().Add(-time.Minute)})
			}, "second", "has expired"},
			{"mended", func() { ca.files(t, folder, "a", order{subject: "third", names: names}) }, "third", "read again"},
		} {
			log.take()
			step.change()
			time.Sleep(3 * pollEvery)
			synctest.Wait()
			if got := shake(t, m, anyone("a.example")); got.subject() != step.want {
				t.Errorf("%s: certificate %q (%v), want %q", step.what, got.subject(), got.clientErr, step.want)
			}
			said := log.take()
			lines := strings.Count(said, "\n")
			if !strings.Contains(said, step.says) || (step.says == "") != (lines == 0) || lines > 1 {
				t.Errorf("%s: the log says %q, want %q once", step.what, said, step.says)
			}
		}
	})
}

// TestBadFilesAtStart: a node does not start, and a reload is refused, with a certificate that cannot be used; the error
// names the file.
func TestBadFilesAtStart(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	good := ca.files(t, folder, "good", order{names: []string{"a.example"}})
	other := ca.files(t, folder, "other", order{names: []string{"a.example"}})
	for _, tt := range []struct {
		what string
		file FileConfig
		want string
	}{
		{"no file", FileConfig{filepath.Join(folder, "none.pem"), good.Key}, "none.pem: no such file"},
		{"another's key", FileConfig{good.Cert, other.Key}, "does not match"},
		{"expired", ca.files(t, folder, "old", order{until: time.Now().Add(-time.Hour)}), "old.pem has expired"},
	} {
		site := Site{Name: "a", Hosts: []string{"a.example"}, SiteConfig: SiteConfig{Certificates: []FileConfig{tt.file}}}
		_, err := New(options(Listener{}, site))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "site a") {
			t.Errorf("%s: %v, want site a and %q", tt.what, err, tt.want)
		}
		m := newManager(t, options(Listener{FileConfig: good}))
		o := options(Listener{FileConfig: tt.file})
		if _, err := m.Prepare(o.Config, o.Listeners, o.Sites); err == nil {
			t.Errorf("%s: a reload takes it", tt.what)
		}
		if got := shake(t, m, anyone("a.example")); got.clientErr != nil {
			t.Errorf("%s: after a refused reload: %v, want the old certificate", tt.what, got.clientErr)
		}
	}
}
