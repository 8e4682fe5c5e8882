package tlsmgr

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Bounds of a conversation with a CA.
const (
	acmePatience  = 30 * time.Second // for one exchange
	acmeMaxBytes  = 1 << 20          // of one answer
	acmeMaxPause  = 5 * time.Second  // between two looks at an order
	acmeMaxTries  = 3                // of an exchange that the CA failed
	acmeMaxNonces = 10               // refused in a row
)

// acmeTransport is an attempt's way to the CA. autocert gives its calls contexts of its own, so whoever wants the attempt
// to end must end it here; and it does not pass on why a CA has refused a challenge.
type acmeTransport struct {
	base http.RoundTripper
	ctx  context.Context // of the attempt

	mu      sync.Mutex
	refused []string // guarded by mu: why, in the CA's words
}

// RoundTrip makes one exchange, to the end of the answer's body.
func (t *acmeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), acmePatience)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	resp, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, acmeMaxBytes))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode == http.StatusOK {
		t.note(body)
		shortenPause(resp.Header)
	}
	return resp, nil
}

// shortenPause bounds the time for which autocert sleeps at the CA's word, deaf to all else.
func shortenPause(h http.Header) {
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && time.Duration(seconds)*time.Second > acmeMaxPause {
		h.Set("Retry-After", strconv.Itoa(int(acmeMaxPause.Seconds())))
	} else if err != nil {
		h.Del("Retry-After") // a date, which may be any; without it the client waits a second
	}
}

// note looks for an authorization that has failed (RFC 8555, section 7.1.4).
func (t *acmeTransport) note(body []byte) {
	var authorization struct {
		Status     string
		Challenges []struct {
			Type  string
			Error *struct{ Detail string }
		}
	}
	if json.Unmarshal(body, &authorization) != nil || authorization.Status != "invalid" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range authorization.Challenges {
		if c.Error == nil {
			continue
		}
		if why := fmt.Sprintf("%s: %q", c.Type, c.Error.Detail); !slices.Contains(t.refused, why) {
			t.refused = append(t.refused, why)
		}
	}
}

func (t *acmeTransport) refusals() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.refused)
}

// retryBackoff says how long to wait before an exchange is tried again; 0 is not at all. A refused nonce costs the CA
// nothing (RFC 8555, section 6.5), and a rate limit is for the order as a whole to heed.
func retryBackoff(n int, _ *http.Request, resp *http.Response) time.Duration {
	switch {
	case resp.StatusCode == http.StatusBadRequest && n <= acmeMaxNonces:
		return time.Duration(n) * 50 * time.Millisecond
	case resp.StatusCode >= 500 && n <= acmeMaxTries:
		return time.Duration(n) * time.Second
	}
	return 0
}
