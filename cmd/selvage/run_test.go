package main

import (
	"strings"
	"testing"

	"selvage/edge"
)

// TestFileFromFlags: --from and --to are a file of one site and one origin.
func TestFileFromFlags(t *testing.T) {
	for _, row := range []struct{ to, url, host string }{
		{"https://origin.example.net", "https://origin.example.net", "origin.example.net"},
		{"https://origin.example.net:8443/", "https://origin.example.net:8443", "origin.example.net:8443"},
		{"http://192.0.2.1:3000", "http://192.0.2.1:3000", ""},
	} {
		f, err := (&runCommand{From: "example.com", To: row.to}).file(testMachine())
		if err != nil {
			t.Errorf("--to %s: %v", row.to, err)
			continue
		}
		got := f.Origins[f.Sites[0].Origin]
		if got.URLs[0] != row.url || got.Host != row.host {
			t.Errorf("--to %s: URL %s, Host %q, want %s, %q", row.to, got.URLs[0], got.Host, row.url, row.host)
		}
		if f.Listeners[0].Address != ":80" || f.Listeners[1].Address != ":443" || *f.Listeners[1].TLS != (edge.TLSConfig{}) {
			t.Errorf("--to %s: listeners %+v", row.to, f.Listeners)
		}
	}
}

// TestCertificateFromFlags: a public name on a public address gets a certificate from a public CA, with the redirect and HSTS
// that go with one; any other gets one of the node's own, and neither.
func TestCertificateFromFlags(t *testing.T) {
	for _, row := range []struct {
		from, https string
		ordered     bool
	}{
		{"example.com", "", true},
		{"example.com", "192.0.2.1:443", true},
		{"example.com", "127.0.0.1:8443", false},
		{"example.com", "localhost:8443", false},
		{"example.com", "[::1]:8443", false},
		{"localhost", "", false},
		{"site.test", "", false},
		{"192.0.2.1", "", false},
	} {
		f, err := (&runCommand{From: row.from, HTTPS: row.https, To: "http://192.0.2.1:3000"}).file(testMachine())
		if err != nil {
			t.Errorf("--from %s: %v", row.from, err)
			continue
		}
		site := f.edgeConfig().Sites[0]
		if f.TLS.ACME.AcceptTerms != row.ordered || (f.Sites[0].TLS.Issuer == "internal") == row.ordered {
			t.Errorf("--from %s --https %s: terms accepted %v, issuer %q, want ordered %v",
				row.from, row.https, f.TLS.ACME.AcceptTerms, f.Sites[0].TLS.Issuer, row.ordered)
		}
		if redirect := site.HTTPS.Redirect; (redirect != nil && *redirect) != row.ordered || (site.HTTPS.HSTS.MaxAge != nil) != row.ordered {
			t.Errorf("--from %s --https %s: https %+v, want both only for an ordered one", row.from, row.https, site.HTTPS)
		}
	}
}

// TestUsage: command lines that make no sense end with 2 and say why.
func TestUsage(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"", "expected one of"},
		{"walk", "walk"},
		{"check", "<file>"},
		{"run --from example.com", "go together"},
		{"run --to http://192.0.2.1", "go together"},
		{"run --config x.yaml --from example.com", "--config says everything"},
		{"run --config x.yaml --http :80", "--config says everything"},
		{"run --config no-such-file.yaml", "no-such-file.yaml: no such file"},
		{"run --from example.com --to ftp://192.0.2.1", "--to: "},
		{"run --from http://example.com --to http://192.0.2.1", "--from: "},
		{"run --from example.com --to http://192.0.2.1 --http 80", "--http: "},
	} {
		c, _, stderr := testConsole()
		if code := run(strings.Fields(row.args), c); code != exitUsage || !strings.Contains(stderr.String(), row.want) {
			t.Errorf("selvage %s: exit code = %d, stderr %q, want 2 and %q", row.args, code, stderr, row.want)
		}
	}
}

// TestJSON: verbs that print data print it as JSON when asked, with the same exit code.
func TestJSON(t *testing.T) {
	t.Chdir(goldenConfig)
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"version --json", exitOK, `"go": "go1.`},
		{"check --json ok/smallest.yaml", exitOK, `"ok": true`},
		{"check --json bad/version.yaml", exitUsage, `"column": 10`},
	} {
		c, out, _ := testConsole()
		if code := run(strings.Fields(row.args), c); code != row.code || !strings.Contains(out.String(), row.want) {
			t.Errorf("selvage %s: exit code = %d, stdout %s, want %d and %s", row.args, code, out, row.code, row.want)
		}
	}
}
