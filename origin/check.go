package origin

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The kinds of checks.
const (
	checkOff  = "off"
	checkHTTP = "http"
	checkTCP  = "tcp"
	checkTLS  = "tls"
)

// checker asks an upstream how it is, whether or not there are requests for it.
type checker struct {
	CheckConfig
	upstream  *upstream
	host      string
	transport *http.Transport // of http; no connection is kept

	// Owned by run.
	well    bool
	against int // checks in a row that say otherwise
}

func newChecker(c CheckConfig, u *upstream, host string) *checker {
	k := &checker{CheckConfig: c, upstream: u, host: c.Host, well: true}
	if k.host == "" {
		k.host = host
	}
	if k.host == "" {
		k.host = u.host
	}
	k.transport = &http.Transport{
		DialContext: u.dial, DialTLSContext: u.dialTLS, ForceAttemptHTTP2: true, DisableCompression: true, DisableKeepAlives: true,
	}
	return k
}

// run checks until ctx ends. The first check and the pauses are spread, so that many nodes do not ask at once.
func (k *checker) run(ctx context.Context) {
	pause := time.NewTimer(time.Duration(rand.Float64() * float64(k.Interval)))
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		err := k.check(ctx)
		if ctx.Err() != nil {
			return
		}
		k.judge(err)
		pause.Reset(time.Duration((0.9 + 0.2*rand.Float64()) * float64(k.Interval)))
	}
}

// judge counts a check, and changes what is believed once enough of them in a row say otherwise.
func (k *checker) judge(err error) {
	k.upstream.checks.Add(1)
	if err != nil {
		k.upstream.failedChecks.Add(1)
	}
	if (err == nil) == k.well {
		k.against = 0
		return
	}
	threshold, why := k.Healthy, ""
	if err != nil {
		threshold, why = k.Unhealthy, "check: "+err.Error()
	}
	if k.against++; k.against < threshold {
		return
	}
	k.against, k.well = 0, err == nil
	k.upstream.health.checked(k.well, why, time.Now())
	k.upstream.pool.queue.wake()
}

// check makes one check.
func (k *checker) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	err := k.ask(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

func (k *checker) ask(ctx context.Context) error {
	switch k.Kind {
	case checkTCP:
		return hangUp(k.upstream.connect(ctx))
	case checkTLS:
		return hangUp(k.upstream.secure(ctx))
	}
	return k.askHTTP(ctx)
}

func hangUp(c net.Conn, err error) error {
	if err == nil {
		c.Close()
	}
	return err
}

// secure connects and shakes hands, whatever protocol comes of it.
func (u *upstream) secure(ctx context.Context) (net.Conn, error) {
	c, err := u.connect(ctx)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(c, u.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, handshakeError{err}
	}
	return secure, nil
}

// maxCheckBody is how much of a check's answer is looked through.
const maxCheckBody = 64 << 10

func (k *checker) askHTTP(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.upstream.scheme+"://"+k.upstream.host+k.Path, nil)
	if err != nil {
		return err
	}
	r.Host = k.host
	r.Header.Set("User-Agent", "Selvage-Check")
	k.upstream.load.inFlight.Add(1)
	x := newExchange(r, k.upstream)
	x.judged = true // by judge, not as an answer
	defer x.end()
	response, err := k.transport.RoundTrip(r.WithContext(x.traced()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if !matchesStatus(k.Status, response.StatusCode) {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	if k.Body == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCheckBody))
	switch {
	case err != nil:
		return fmt.Errorf("read the body: %w", err)
	case !bytes.Contains(body, []byte(k.Body)):
		return errors.New("the body does not have what is expected")
	}
	return nil
}

// matchesStatus reports whether a status is in a list of statuses and classes ("2xx").
func matchesStatus(list []string, status int) bool {
	text := strconv.Itoa(status)
	for _, want := range list {
		if want == text || want[1:] == "xx" && want[0] == text[0] {
			return true
		}
	}
	return false
}
