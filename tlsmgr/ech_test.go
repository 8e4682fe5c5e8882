package tlsmgr

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// echFile writes a new key into a folder and returns the file and what goes into the DNS.
func echFile(t testing.TB, folder, name string) (file string, list []byte) {
	t.Helper()
	text, list, err := NewECH("cover.example")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, name)
	write(t, file, text)
	return file, list
}

func hiding(name string, list []byte, ca *testCA) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(ca.root)
	return &tls.Config{ServerName: name, RootCAs: roots, EncryptedClientHelloConfigList: list}
}

// TestEncryptedClientHello: RFC 9849. The name travels under the newest key or an older one; a client whose key is gone is
// shown the certificate of the public name, and told the newest key; one that knows no key is served as ever.
func TestEncryptedClientHello(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	site := func(name string) Site {
		return Site{Name: name, Hosts: []string{name}, SiteConfig: SiteConfig{
			Certificates: []FileConfig{ca.files(t, folder, name, order{subject: name, names: []string{name}})},
		}}
	}
	newest, newestList := echFile(t, folder, "new.pem")
	older, olderList := echFile(t, folder, "old.pem")
	_, goneList := echFile(t, folder, "gone.pem")
	o := options(Listener{}, site("secret.example"), site("cover.example"))
	o.Config.ECH = []string{newest, older}
	m := newManager(t, o)
	for name, list := range map[string][]byte{"the newest key": newestList, "an older key": olderList} {
		got := shake(t, m, hiding("secret.example", list, ca))
		if got.clientErr != nil || !got.client.ECHAccepted || got.server.ServerName != "secret.example" || got.subject() != "secret.example" {
			t.Errorf("%s: accepted %v, server name %q, certificate of %q (%v)", name, got.client.ECHAccepted, got.server.ServerName, got.subject(), got.clientErr)
		}
	}
	var rejected *tls.ECHRejectionError
	if got := shake(t, m, hiding("secret.example", goneList, ca)); !errors.As(got.clientErr, &rejected) || string(rejected.RetryConfigList) != string(newestList) {
		t.Errorf("a key that is gone: %v, want a rejection with the newest key", got.clientErr)
	}
	plain := hiding("secret.example", nil, ca)
	if got := shake(t, m, plain); got.clientErr != nil || got.client.ECHAccepted {
		t.Errorf("without a key: %v, accepted %v", got.clientErr, got.client.ECHAccepted)
	}

	o.Config.ECH = nil
	commit, err := m.Prepare(o.Config, o.Listeners, o.Sites)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if got := shake(t, m, hiding("secret.example", newestList, ca)); !errors.As(got.clientErr, &rejected) || len(rejected.RetryConfigList) > 0 {
		t.Errorf("keys taken away by a reload: %v, want a rejection without a key", got.clientErr)
	}
}

// TestECHFiles: a file that cannot be served is refused with what is wrong, and with no word of the key.
func TestECHFiles(t *testing.T) {
	file, list, err := NewECH("cover.example")
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := NewECH("cover.example")
	p256, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	key, config, _ := strings.Cut(string(file), "-----END PRIVATE KEY-----\n")
	key += "-----END PRIVATE KEY-----\n"
	otherKey, _, _ := strings.Cut(string(other), "-----BEGIN ECHCONFIG")
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	for _, row := range []struct{ rule, text, want string }{
		{"empty", "", "want a PRIVATE KEY and an ECHCONFIG"},
		{"no configuration", key, "want a PRIVATE KEY and an ECHCONFIG"},
		{"no key", config, "want a PRIVATE KEY and an ECHCONFIG"},
		{"another's key", otherKey + config, "configuration 1 is not of that private key"},
		{"a key of another curve", block("PRIVATE KEY", der) + config, "not of X25519"},
		{"a broken key", block("PRIVATE KEY", der[:10]) + config, "no PKCS #8"},
		{"a list cut short", key + block("ECHCONFIG", list[:len(list)-1]), "malformed"},
		{"a list with more behind it", key + block("ECHCONFIG", append(list, 0)), "malformed"},
		{"only another version", key + block("ECHCONFIG", []byte{0, 4, 0xfe, 0x0a, 0, 0}), "want a PRIVATE KEY and an ECHCONFIG"},
		{"a config for another kind of key", key + block("ECHCONFIG", []byte{0, 9, 0xfe, 0x0d, 0, 5, 1, 0, 0x10, 0, 0}), "not for X25519"},
	} {
		if _, err := readECH([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.rule, err, row.want)
		}
	}
	if keys, err := readECH(append([]byte("a comment\n"), file...)); err != nil || len(keys) != 1 {
		t.Errorf("a whole file: %d keys, %v", len(keys), err)
	}
	for _, name := range []string{"", "localhost:1", "192.0.2.1", "*.example.com"} {
		if _, _, err := NewECH(name); err == nil {
			t.Errorf("public name %q is taken", name)
		}
	}
}

// FuzzECHConfigs: no list of foreign bytes is a panic, and what is taken from it lies within it.
func FuzzECHConfigs(f *testing.F) {
	_, list, err := NewECH("cover.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	f.Add([]byte{0, 4, 0xfe, 0x0a, 0, 0})
	f.Fuzz(func(t *testing.T, list []byte) {
		keys, _ := echConfigs(list)
		total := 2
		for _, k := range keys {
			total += len(k.Config)
		}
		if len(keys) > 0 && total > len(list) {
			t.Errorf("%d bytes of configurations out of %d", total, len(list))
		}
	})
}
