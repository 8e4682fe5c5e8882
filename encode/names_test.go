package encode

import "testing"

func TestNamesTellTheirVersions(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/app.4f3a.js", "/app.*.js"},
		{"/app.9b2c.js", "/app.*.js"},
		{"/assets/index-BxYz12_a.css", "/assets/index-*.css"},
		{"/assets/index-DkXbQwyz.js", "/assets/index-*.js"},
		{"/assets/index-C3x-_9aB.js", "/assets/index-*.js"},
		{"/static/js/main.8e0d62a03c.chunk.js", "/static/js/main.*.chunk.js"},
		{"/lib/jquery-3.7.1.min.js", "/lib/jquery-*.min.js"},
		{"/lib/jquery-4.0.0-beta.2.min.js", "/lib/jquery-*.min.js"},
		{"/npm/bootstrap@5.3.8/dist/css/bootstrap.min.css", "/npm/bootstrap@*/dist/css/bootstrap.min.css"},
		{"/releases/v1.20.3/app.js", "/releases/*/app.js"},
		{"/1.2.3/app-4f3a9c.js", "/*/app-*.js"},
		{"/r/build-20261123.js", "/r/build-*.js"},
		{"/app_4f3a9c2b", "/app_*"},

		{"/app.js", ""},
		{"/", ""},
		{"", ""},
		{"/vendor/es2015.js", ""},
		{"/my-template.min.js", ""},
		{"/4f3a9c2b.js", ""},                     // all of the name would go
		{"/lib/3.7.1.js", ""},                    // likewise
		{"/v2/app.js", ""},                       // a number alone is no version
		{"/app.4f3a(1).js", ""},                  // would mean something else as a URL pattern
		{"/app*.4f3a.js", ""},                    // likewise
		{"/a-1.1/2-1.1/3-1.1/4-1.1/5-1.1/x", ""}, // too many
	} {
		got, ok := patternByName(tt.path)
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("patternByName(%q) = %q, %t, want %q", tt.path, got, ok, tt.want)
		}
		if ok && !got.Match(tt.path) {
			t.Errorf("%q does not match %q, which it comes from", got, tt.path)
		}
	}
}
