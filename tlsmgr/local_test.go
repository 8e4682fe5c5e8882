package tlsmgr

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func internalSite(hosts ...string) Site {
	return Site{Name: hosts[0], Hosts: hosts, SiteConfig: SiteConfig{Issuer: "internal"}}
}

// TestLocalCA: who trusts the root trusts every internal site, on this start and the next.
func TestLocalCA(t *testing.T) {
	storage := newMemoryStorage()
	if _, err := LocalRoot(context.Background(), storage); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("root before the first start: %v, want fs.ErrNotExist", err)
	}
	trusting := &tls.Config{RootCAs: x509.NewCertPool()}
	for start := range 2 {
		o := options(Listener{Internal: true}, internalSite("a.test", "*.a.test"), Site{Name: "b", Hosts: []string{"b.test"}})
		o.Storage = storage
		m := newManager(t, o)
		if start == 0 {
			root, err := LocalRoot(context.Background(), storage)
			if err != nil || bytes.Contains(root, []byte("PRIVATE")) || !trusting.RootCAs.AppendCertsFromPEM(root) {
				t.Fatalf("root: %v, %q", err, root)
			}
		}
		for _, name := range []string{"a.test", "www.a.test", "b.test", "localhost", "www.localhost"} {
			client := trusting.Clone()
			client.ServerName = name
			if got := shake(t, m, client); got.clientErr != nil {
				t.Errorf("start %d: %s: %v", start, name, got.clientErr)
			}
		}
	}
}

// TestLocalLeavesRenewThemselves: certificates of the local CA are replaced while they are still good.
func TestLocalLeavesRenewThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, options(Listener{}, internalSite("a.test")))
		leaf := func() *x509.Certificate { return shake(t, m, anyone("a.test")).client.PeerCertificates[0] }
		first := leaf()
		time.Sleep(leafLife / 2)
		if !leaf().Equal(first) {
			t.Error("after half its life: a new certificate, want the same")
		}
		time.Sleep(leafLife / 4)
		if second := leaf(); second.Equal(first) || second.NotAfter.Before(first.NotAfter) {
			t.Error("after three quarters of its life: the same certificate, want a new one")
		}
	})
}

// TestSelfSigned: a certificate for the site's hosts and this machine's own names, another at each start.
func TestSelfSigned(t *testing.T) {
	site := Site{Name: "a", Hosts: []string{"a.test", "192.0.2.1", "[2001:db8::1]"}, SiteConfig: SiteConfig{Issuer: "self_signed"}}
	first := shake(t, newManager(t, options(Listener{}, site)), anyone("a.test")).client.PeerCertificates[0]
	for _, name := range []string{"a.test", "192.0.2.1", "2001:db8::1", "localhost", "127.0.0.1"} {
		if err := first.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if second := shake(t, newManager(t, options(Listener{}, site)), anyone("a.test")).client.PeerCertificates[0]; second.Equal(first) {
		t.Error("two starts: the same certificate")
	}
}

// TestFolder: what is stored is for its owner alone, and lies nowhere but in the folder.
func TestFolder(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "state")
	f := NewFolder(path)
	if _, err := f.Load(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load from a folder that is not there: %v, want fs.ErrNotExist", err)
	}
	if err := f.Delete(ctx, "a"); err != nil {
		t.Errorf("delete in a folder that is not there: %v", err)
	}
	for _, value := range []string{"one", "two"} {
		if err := f.Save(ctx, "a.example+rsa", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Load(ctx, "a.example+rsa"); err != nil || string(got) != value {
			t.Errorf("load: %q, %v, want %q", got, err, value)
		}
	}
	for name, want := range map[string]fs.FileMode{"": 0o700 | fs.ModeDir, "a.example+rsa": 0o600} {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode() != want {
			t.Errorf("%q: mode %v, want %v", name, info.Mode(), want)
		}
	}
	if entries, _ := os.ReadDir(path); len(entries) != 1 {
		t.Errorf("after two saves: %d files, want the one", len(entries))
	}
	if err := f.Delete(ctx, "a.example+rsa"); err != nil {
		t.Error(err)
	}
	if _, err := f.Load(ctx, "a.example+rsa"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load after delete: %v, want fs.ErrNotExist", err)
	}
	for _, name := range []string{"", ".hidden", "..", "a/b", `a\b`, "/etc/passwd", "a\x00b", "a b", "é", strings.Repeat("a", 256)} {
		if err := f.Save(ctx, name, nil); err == nil {
			t.Errorf("save %q: no error", name)
		}
	}
	outside := filepath.Join(filepath.Dir(path), "outside")
	write(t, outside, []byte("secret"))
	if err := os.Symlink(outside, filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(ctx, "link"); err == nil {
		t.Errorf("load through a symbolic link: %q, want an error", got)
	}
	if err := f.Save(ctx, "link", []byte("new")); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "secret" {
		t.Error("a save went through a symbolic link")
	}
}
