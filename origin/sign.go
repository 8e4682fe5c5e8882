package origin

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// signer signs requests for buckets that are not public: AWS Signature Version 4, as S3 and what is like it want it. The body
// is not signed: it would have to be read before the first byte is sent.
type signer struct {
	region, service string
	access          string
	secret, session []byte
}

// newSigner returns nil when nothing is to be signed.
func newSigner(c SignConfig) (*signer, error) {
	if c == (SignConfig{Service: c.Service}) {
		return nil, nil
	}
	if c.Region == "" || c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("sign: region, access_key and secret_key go together")
	}
	s := &signer{region: c.Region, service: c.Service}
	access, err := readSecret(c.AccessKey, 1)
	if err == nil {
		s.access = string(access)
		s.secret, err = readSecret(c.SecretKey, 1)
	}
	if err == nil {
		s.session, err = readSecret(c.SessionToken, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return s, nil
}

const (
	amzDate     = "X-Amz-Date"
	amzContent  = "X-Amz-Content-Sha256"
	amzToken    = "X-Amz-Security-Token"
	amzTime     = "20060102T150405Z"
	amzDay      = "20060102"
	amzUnsigned = "UNSIGNED-PAYLOAD"
	amzScheme   = "AWS4-HMAC-SHA256"
)

// emptySum is the hash of a body that is not there.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// sign replaces what r says of its sender. The header is r's own: the caller has made a copy of the client's.
func (s *signer) sign(r *http.Request, now time.Time) {
	now = now.UTC()
	r.Header.Set(amzDate, now.Format(amzTime))
	r.Header.Set(amzContent, emptySum)
	if hasBody(r) {
		r.Header.Set(amzContent, amzUnsigned)
	}
	r.Header.Del(amzToken)
	if s.session != nil {
		r.Header.Set(amzToken, string(s.session))
	}
	names, fields := s.signed(r)
	scope := now.Format(amzDay) + "/" + s.region + "/" + s.service + "/aws4_request"
	request := strings.Join([]string{
		r.Method, escape(cmp.Or(r.URL.Path, "/"), "/"), canonicalQuery(r.URL.RawQuery), fields, names, r.Header.Get(amzContent),
	}, "\n")
	sum := sha256.Sum256([]byte(request))
	text := strings.Join([]string{amzScheme, now.Format(amzTime), scope, hex.EncodeToString(sum[:])}, "\n")
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s,SignedHeaders=%s,Signature=%s",
		amzScheme, s.access, scope, names, hex.EncodeToString(mac(s.key(now), text))))
}

// signed returns the names of the fields that are signed, and their lines, in order.
func (s *signer) signed(r *http.Request) (names, fields string) {
	lines := [][2]string{{"host", cmp.Or(r.Host, r.URL.Host)}}
	for _, name := range []string{"Range", amzContent, amzDate, amzToken} {
		if value := r.Header.Get(name); value != "" {
			lines = append(lines, [2]string{strings.ToLower(name), strings.TrimSpace(value)})
		}
	}
	var all []string
	for _, line := range lines {
		all = append(all, line[0])
		fields += line[0] + ":" + line[1] + "\n"
	}
	return strings.Join(all, ";"), fields
}

// key is that of a day, a region and a service.
func (s *signer) key(now time.Time) []byte {
	key := append([]byte("AWS4"), s.secret...)
	for _, part := range []string{now.Format(amzDay), s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonicalQuery is a query in the order and spelling that is signed.
func canonicalQuery(raw string) string {
	var all [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		all = append(all, [2]string{escape(unescape(name), ""), escape(unescape(value), "")})
	}
	slices.SortFunc(all, func(a, b [2]string) int { // by name first: "=" comes after "-", "." and the digits
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	var b strings.Builder
	for i, part := range all {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(part[0] + "=" + part[1])
	}
	return b.String()
}

// unescape decodes a part of a query; what cannot be decoded means itself.
func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// escape encodes all but the unreserved characters (RFC 3986, section 2.3) and those of keep.
func escape(s, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if l := lower(c); isDigit(c) || 'a' <= l && l <= 'z' || strings.IndexByte("-._~"+keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
