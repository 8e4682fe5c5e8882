package tlsmgr

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// onDemand decides whether a name that no site spells out may have a certificate: it is on a list, or somebody is asked who
// knows.
type onDemand struct {
	OnDemandConfig
	listed names[bool]
	client *http.Client
	log    *slog.Logger

	asking   singleflight.Group // one question a name
	askers   chan struct{}      // a place for each question under way
	mu       sync.Mutex
	verdicts map[string]verdict // by name; guarded by mu
	tokens   float64            // orders that may be made now; guarded by mu
	filled   time.Time          // when tokens was counted; guarded by mu
}

type verdict struct {
	allowed bool
	until   time.Time
}

// errNotAllowed is an order that the one who is asked does not want any more.
var errNotAllowed = errors.New("the name is not allowed on demand")

// How long a verdict holds, and how many are remembered. A no is remembered for less: it may have come a moment before the
// name was set up.
const (
	yesHolds     = time.Hour
	noHolds      = 10 * time.Minute
	unknownHolds = 10 * time.Second // nobody answered
	maxVerdicts  = 10_000
	maxAskers    = 8
	askPatience  = 5 * time.Second
)

func newOnDemand(c OnDemandConfig, log *slog.Logger) *onDemand {
	if c.Ask == "" && len(c.Names) == 0 {
		return nil
	}
	d := &onDemand{
		OnDemandConfig: c, listed: newNames[bool](), log: log, verdicts: make(map[string]verdict),
		askers: make(chan struct{}, maxAskers),
		client: &http.Client{Timeout: askPatience}, tokens: float64(c.PerHour), filled: time.Now(),
	}
	for _, name := range c.Names {
		d.listed.add(name, true)
	}
	return d
}

// permits reports whether a name may have a certificate.
func (d *onDemand) permits(ctx context.Context, name string) bool {
	if d.listed.find(name) {
		return true
	}
	if d.Ask == "" {
		return false
	}
	if v, known := d.remembered(name); known {
		return v
	}
	v, _, _ := d.asking.Do(name, func() (any, error) {
		v := d.ask(ctx, name)
		d.remember(name, v)
		return v, nil
	})
	return v.(verdict).allowed
}

func (d *onDemand) remembered(name string) (allowed, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.verdicts[name]
	return v.allowed, ok && time.Now().Before(v.until)
}

// remember makes room by forgetting whatever comes first: who asks for ten thousand names is not who it is kept for.
func (d *onDemand) remember(name string, v verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old := range d.verdicts {
		if len(d.verdicts) < maxVerdicts {
			break
		}
		delete(d.verdicts, old)
	}
	d.verdicts[name] = v
}

// ask asks the URL about a name: 200 is yes, another status no.
func (d *onDemand) ask(ctx context.Context, name string) verdict {
	select {
	case d.askers <- struct{}{}:
		defer func() { <-d.askers }()
	case <-ctx.Done():
		return verdict{} // not for long
	}
	status, err := d.put(ctx, name)
	now := time.Now()
	switch {
	case err != nil || status >= 500:
		d.log.Warn("nobody says whether a name may have a certificate", "name", name, "status", status, "error", err)
		return verdict{until: now.Add(unknownHolds)}
	case status == http.StatusOK:
		return verdict{true, now.Add(yesHolds)}
	}
	return verdict{until: now.Add(noHolds)}
}

// put puts the question.
func (d *onDemand) put(ctx context.Context, name string) (status int, err error) {
	target, err := url.Parse(d.Ask)
	if err != nil {
		return 0, err
	}
	query := target.Query()
	query.Set("domain", name)
	target.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := d.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection can be used again
	return resp.StatusCode, nil
}

// spend takes one of the orders that may be made in an hour.
func (d *onDemand) spend() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	perHour := float64(d.PerHour)
	d.tokens = min(perHour, d.tokens+now.Sub(d.filled).Hours()*perHour)
	d.filled = now
	if d.tokens < 1 {
		return false
	}
	d.tokens--
	return true
}

// demand makes a subject of a name that a handshake asks for, if it may be one, and returns what is closed when its order
// has ended; nil for none. What an earlier process has ordered is used without asking.
func (o *orders) demand(ctx context.Context, name string) <-chan struct{} {
	o.mu.Lock()
	authority, d, known := o.authority, o.onDemand, o.subjects[name] != nil
	o.mu.Unlock()
	if known || authority == nil || d == nil || !Orderable(name) {
		return nil
	}
	stored := authority.load(ctx, name)
	if stored == nil && (!d.permits(ctx, name) || !d.spend()) {
		return nil
	}
	return o.addDemanded(&subject{name: name, demanded: true}, stored)
}

func (o *orders) addDemanded(s *subject, stored *tls.Certificate) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if twin := o.subjects[s.name]; twin != nil {
		return closedIfNil(twin.settled)
	}
	o.addLocked(s, stored)
	o.nudge()
	return closedIfNil(s.settled)
}

// closedIfNil is for who waits for what has happened already.
func closedIfNil(c chan struct{}) <-chan struct{} {
	if c == nil {
		c = make(chan struct{})
		close(c)
	}
	return c
}
