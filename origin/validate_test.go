package origin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(c *Config)
		want   string // paths with a problem
	}{
		{"nothing wrong", func(c *Config) {}, ""},
		{"all shapes", func(c *Config) {
			c.URLs = []string{"http://127.0.0.1:8080", "https://a.test/", "http://[::1]", "unix:/run/s", "http://a_b.c-d.test."}
		}, ""},
		{"no upstream", func(c *Config) { c.URLs = nil }, "urls"},
		{"not a URL", func(c *Config) { c.URLs = []string{"http://%zz", "origin.test:80", "origin.test", ""} }, "urls[0] urls[1] urls[2] urls[3]"},
		{"scheme", func(c *Config) { c.URLs = []string{"ftp://a.test", "h2c://a.test"} }, "urls[0] urls[1]"},
		{"no host", func(c *Config) { c.URLs = []string{"http://", "http://:80", "http:a.test"} }, "urls[0] urls[1] urls[2]"},
		{"path", func(c *Config) { c.URLs = []string{"http://a.test/b", "http://a.test//"} }, "urls[0] urls[1]"},
		{"query and fragment", func(c *Config) { c.URLs = []string{"http://a.test?b", "http://a.test?", "http://a.test#b"} }, "urls[0] urls[1] urls[2]"},
		{"credentials", func(c *Config) { c.URLs = []string{"http://u:p@a.test"} }, "urls[0]"},
		{"port", func(c *Config) {
			c.URLs = []string{"http://a.test:0", "http://a.test:65536", "http://a.test:", "http://[::1]:x"}
		}, "urls[0] urls[1] urls[2] urls[3]"},
		{"name", func(c *Config) {
			c.URLs = []string{"http://a..test", "http://-a.test", "http://a!.test", "http://" + strings.Repeat("a", 64) + ".test"}
		}, "urls[0] urls[1] urls[2] urls[3]"},
		{"relative socket", func(c *Config) { c.URLs = []string{"unix:run/s", "unix:"} }, "urls[0] urls[1]"},
		{"twice", func(c *Config) { c.URLs = []string{"http://a.test", "http://A.test.:80/"} }, "urls[1]"},
		{"twice in both lists", func(c *Config) { c.Upstreams = []UpstreamConfig{{URL: "http://origin.test:80", Weight: 1}} }, "upstreams[0].url"},
		{"limits", func(c *Config) {
			c.Upstreams = []UpstreamConfig{{URL: "http://a.test", Weight: 1001, MaxRequests: -1, MaxRate: 1e6 + 1}, {URL: "http://b.test"}}
		}, "upstreams[0].weight upstreams[0].max_requests upstreams[0].max_rate upstreams[1].weight"},
		{"backups alone", func(c *Config) {
			c.URLs, c.Upstreams = nil, []UpstreamConfig{{URL: "http://a.test", Weight: 1, Backup: true}}
		}, "upstreams"},
		{"hash", func(c *Config) { c.Balance.Hash = "header:a b" }, "balance.hash"},
		{"hash of nothing", func(c *Config) { c.Balance.Hash = "cookie:" }, "balance.hash"},
		{"hash of more than it has", func(c *Config) { c.Balance.Hash = "url:x" }, "balance.hash"},
		{"bound", func(c *Config) { c.Balance.Bound = 99 }, "balance.bound"},
		{"no bound", func(c *Config) { c.Balance.Bound = 0 }, ""},
		{"cookie", func(c *Config) { c.Balance.Cookie = CookieConfig{Name: "a;b", Secret: "u:p", MaxAge: -1} },
			"balance.cookie.name balance.cookie.secret balance.cookie.max_age"},
		{"a short secret", func(c *Config) { c.Balance.Cookie.Secret = "file:" + empty }, "balance.cookie.secret"},
		{"queue", func(c *Config) { c.Queue = QueueConfig{-1, -1} }, "queue.size queue.wait"},
		{"check", func(c *Config) {
			c.Check = CheckConfig{Kind: "tls", Path: "a", Host: "a b", Status: []string{"2xx", "600"}}
		},
			"check.path check.host check.status[1] check.interval check.timeout check.healthy check.unhealthy check.kind"},
		{"check of no status", func(c *Config) { c.Check.Status = nil }, "check.status"},
		{"outliers", func(c *Config) { c.Outliers = OutlierConfig{-1, -1, 0, 1, 0, 0, 101} },
			"outliers.failures outliers.error_rate outliers.requests outliers.slower outliers.window outliers.eject outliers.max_ejected"},
		{"breaker", func(c *Config) { c.Breaker = BreakerConfig{Failures: -1} }, "breaker.failures breaker.pause breaker.probes"},
		{"slow start and panic", func(c *Config) { c.SlowStart, c.Panic = -1, 101 }, "slow_start panic"},
		{"host", func(c *Config) { c.Host = "a b" }, "host"},
		{"host with CR and LF", func(c *Config) { c.Host = "a.test\r\nB: c" }, "host"},
		{"host with port", func(c *Config) { c.Host = "a.test:8080" }, ""},
		{"timeouts", func(c *Config) { c.Timeouts = Timeouts{-1, -1, -1, -1, -1} },
			"timeouts.connect timeouts.first_byte timeouts.gap timeouts.idle timeouts.total"},
		{"total", func(c *Config) { c.Timeouts.FirstByte, c.Timeouts.Total = 2*second, second }, "timeouts.total"},
		{"retry", func(c *Config) { c.Retry = RetryConfig{0, 101, -1, []int{200, 500}, -1} },
			"retry.attempts retry.budget retry.reserve retry.status[0] retry.hedge"},
		{"idle connections", func(c *Config) { c.IdleConns = -1 }, "idle_conns"},
		{"service", func(c *Config) {
			c.Upstreams = []UpstreamConfig{
				{URL: "http://_a._tcp.test", Weight: 1, SRV: true}, {URL: "http://a.test:80", Weight: 1, SRV: true},
				{URL: "http://[::1]", Weight: 1, SRV: true}, {URL: "unix:/run/s", Weight: 1, SRV: true},
			}
		}, "upstreams[1].url upstreams[2].url upstreams[3].url"},
		{"resolve", func(c *Config) { c.Resolve = ResolveConfig{0, -1, []string{"10.0.0.1", "a"}} },
			"resolve.interval resolve.keep resolve.allow[1]"},
		{"half a client certificate", func(c *Config) { c.URLs, c.TLS.Cert = []string{"https://a.test"}, empty }, "tls.cert"},
		{"no client certificate in it", func(c *Config) {
			c.URLs, c.TLS.Cert, c.TLS.Key = []string{"https://a.test"}, empty, empty
		}, "tls.cert"},
		{"paths", func(c *Config) { c.Path = PathConfig{"img", "/a/../b"} }, "path.strip path.add"},
		{"more paths", func(c *Config) { c.Path = PathConfig{"/a//b", "/a%20b"} }, "path.strip path.add"},
		{"plain paths", func(c *Config) { c.Path = PathConfig{"/img/", "/a/b-c"} }, ""},
		{"hide", func(c *Config) { c.Hide = []string{"Server", "a b"} }, "hide[1]"},
		{"sign", func(c *Config) { c.Sign = SignConfig{Region: "x", AccessKey: "u:p", SecretKey: "u:p"} },
			"sign.access_key sign.secret_key"},
		{"half a sign", func(c *Config) { c.Sign.Region = "x" }, "sign.region"},
		{"the other half of a sign", func(c *Config) { c.Sign.SecretKey = "file:validate_test.go" }, "sign.secret_key"},
		{"TLS without https", func(c *Config) { c.TLS.Name = "a.test" }, "tls"},
		{"TLS name", func(c *Config) { c.URLs, c.TLS.Name = []string{"https://a.test"}, "https://a.test" }, "tls.name"},
		{"no such file", func(c *Config) { c.URLs, c.TLS.CA = []string{"https://a.test"}, "/nonexistent/ca.pem" }, "tls.ca"},
		{"no certificate in it", func(c *Config) { c.URLs, c.TLS.CA = []string{"https://a.test"}, empty }, "tls.ca"},
		{"CA and insecure", func(c *Config) {
			c.URLs, c.TLS = []string{"https://a.test"}, TLSConfig{CA: empty, Insecure: true}
		}, "tls.insecure tls.ca"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := testConfig()
			row.change(&c)
			var paths []string
			c.Validate(func(path, problem, hint string) {
				paths = append(paths, path)
				if problem == "" || hint == "" {
					t.Errorf("%s: problem %q, hint %q", path, problem, hint)
				}
				if strings.Contains(problem+hint, "u:p") {
					t.Errorf("%s: %q, %q tell the credentials", path, problem, hint)
				}
			})
			if got := strings.Join(paths, " "); got != row.want {
				t.Errorf("problems at %q, want %q", got, row.want)
			}
		})
	}
}
