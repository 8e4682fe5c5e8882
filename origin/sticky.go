package origin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"
)

// tie is the cookie that ties clients to upstreams. Its value is a MAC of the upstream's name: it tells nobody which one that
// is, nobody can make one up, and all nodes with the same secret know it.
type tie struct {
	name   string
	maxAge time.Duration
	secret []byte
}

func newTie(c CookieConfig) (tie, error) {
	t := tie{name: c.Name, maxAge: c.MaxAge}
	var err error
	if t.secret, err = readSecret(c.Secret, minKey); err != nil {
		return t, fmt.Errorf("sticky cookie: %w", err)
	}
	if t.secret == nil {
		t.secret = []byte(rand.Text())
	}
	return t, nil
}

// minKey makes guessing hopeless even for a key of hexadecimal digits.
const minKey = 16

// token is the cookie's value for the upstream of a name.
func (t *tie) token(upstream string) string {
	mac := hmac.New(sha256.New, t.secret)
	mac.Write([]byte(upstream))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// named returns which of the choices the request's cookie names, -1 for none.
func (t *tie) named(c []choice, r *http.Request) int {
	value := cookie(r.Header, t.name)
	if value == "" {
		return -1
	}
	named := -1
	for i := range c {
		if equal(value, c[i].upstream.token) {
			named = i
		}
	}
	return named
}

// equal takes as long whether or not.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// cookieFor is the Set-Cookie that ties whoever sent r to u, "" when it is so already.
func (t *tie) cookieFor(r *http.Request, u *upstream) string {
	if u.token == "" || equal(cookie(r.Header, t.name), u.token) {
		return ""
	}
	c := http.Cookie{
		Name: t.name, Value: u.token, Path: "/", MaxAge: int(t.maxAge / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	return c.String()
}
