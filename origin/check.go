package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
		DialContext: u.dial, DialTLSContext: u.dialTLS, Protocols: protocolsOf(u.protocol, u.scheme),
		DisableCompression: true, DisableKeepAlives: true,
	}
	return k
}

// run checks until ctx ends. The first check and the pauses are spread, so that many nodes do not ask at once.
func (k *checker) run(ctx context.Context) {
	every(ctx, k.Interval, func() {
		if err := k.check(ctx); ctx.Err() == nil {
			k.judge(err)
		}
	})
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
		c, err := k.upstream.reach(ctx, nil, nil)
		if err != nil {
			return err
		}
		return c.Close()
	case checkTLS:
		c, _, err := k.upstream.secure(ctx)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return k.askHTTP(ctx)
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
