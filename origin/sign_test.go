package origin

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignatures compares with the worked examples of the S3 documentation ("Signature Calculations for the Authorization
// Header").
func TestSignatures(t *testing.T) {
	s := &signer{region: "us-east-1", service: "s3", access: "AKIAIOSFODNN7EXAMPLE", secret: []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}
	for _, row := range []struct{ target, byteRange, names, signature string }{
		{"/test.txt", "bytes=0-9", "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"/?lifecycle", "", "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"/?max-keys=2&prefix=J", "", "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		r := newRequest(t, "GET", row.target, nil)
		r.Host = "examplebucket.s3.amazonaws.com"
		if row.byteRange != "" {
			r.Header.Set("Range", row.byteRange)
		}
		s.sign(r, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
		want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
			row.names + ",Signature=" + row.signature
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("GET %s:\n%s, want\n%s", row.target, got, want)
		}
	}
}

// TestSignedText: the spelling of what is signed does not depend on the spelling of what is sent.
func TestSignedText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "b=2&a=1": "a=1&b=2", "a": "a=", "a=b=c": "a=b%3Dc", "a=%7e": "a=~", "a=b+c": "a=b%20c", "a=%zz": "a=%25zz",
		"&&a=1&": "a=1", "a=2&a=1": "a=1&a=2", "a=/": "a=%2F", "a-b=1&a=2": "a=2&a-b=1", "a1=1&a=2": "a=2&a1=1",
	} {
		if got := canonicalQuery(in); got != want {
			t.Errorf("query %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"/a b/c": "/a%20b/c", "/ä": "/%C3%A4", "/a!(b)": "/a%21%28b%29", "/~-_.": "/~-_."} {
		if got := escape(in, "/"); got != want {
			t.Errorf("path %q: %q, want %q", in, got, want)
		}
	}
}

// TestSigned: the origin gets a signature in place of the client's credentials, and the client's own header stays.
func TestSigned(t *testing.T) {
	t.Setenv("ACCESS", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("SECRET", "hunter2hunter2hunter2")
	t.Setenv("SESSION", "a-session")
	change := func(c *Config) { c.Sign = SignConfig{"eu-central-1", "s3", "env:ACCESS", "env:SECRET", "env:SESSION"} }
	withFarm(t, "a", change, func(t *testing.T, p *Pool, f *farm) {
		f.set("a", func(p *peer, r *http.Request) bool {
			authorization := r.Header.Get("Authorization")
			if !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20000101/eu-central-1/s3/") {
				t.Errorf("Authorization: %s", authorization)
			}
			if r.Header.Get("X-Amz-Security-Token") != "a-session" || r.Header.Get("X-Amz-Date") != "20000101T000000Z" {
				t.Errorf("header: %v", r.Header)
			}
			if got, want := r.Header.Get("X-Amz-Content-Sha256"), map[string]string{"GET": emptySum, "PUT": amzUnsigned}[r.Method]; got != want {
				t.Errorf("%s: hash of the body = %s, want %s", r.Method, got, want)
			}
			return says(200)(p, r)
		})
		for _, r := range []*http.Request{newRequest(t, "GET", "/a", nil), newRequest(t, "PUT", "/a", strings.NewReader("abc"))} {
			r.Header.Set("Authorization", "Basic client")
			wantBody(t, p, r, 200, "OK")
			if got := r.Header.Get("Authorization"); got != "Basic client" {
				t.Errorf("the client's Authorization became %q", got)
			}
		}
	})
}
