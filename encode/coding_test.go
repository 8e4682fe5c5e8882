package encode

import "testing"

func TestNamed(t *testing.T) {
	for _, tt := range []struct {
		token string
		want  Coding
		ok    bool
	}{
		{"gzip", Gzip, true},
		{"x-gzip", Gzip, true}, // RFC 9110, section 8.4.1.3
		{"GZip", Gzip, true},   // RFC 9110, section 8.4.1: case-insensitive
		{"X-GZIP", Gzip, true},
		{"br", Brotli, true},
		{"zstd", Zstd, true},
		{"dcb", DCB, true},
		{"DCZ", DCZ, true},
		{"identity", Identity, true},
		{"", Identity, false},
		{"*", Identity, false},
		{"deflate", Identity, false},
		{"gzip ", Identity, false},
	} {
		if got, ok := Named(tt.token); got != tt.want || ok != tt.ok {
			t.Errorf("Named(%q) = %v, %t, want %v, %t", tt.token, got, ok, tt.want, tt.ok)
		}
	}
	for c := Gzip; c < codings; c++ {
		if got, ok := Named(c.String()); got != c || !ok {
			t.Errorf("Named(%q) = %v, %t, want what it comes from", c, got, ok)
		}
	}
}
