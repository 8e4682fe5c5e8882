package edge

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
)

// Freeze is an operator's word to leave a site's origins alone for a while.
type Freeze struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why,omitempty"`
}

// MaxFreeze is the longest there is: somebody has to remember it.
const MaxFreeze = 30 * 24 * time.Hour

// Freeze leaves the origins of a site alone for a span, in place of any freeze it is under. What is under way there is finished.
func (e *Edge) Freeze(site string, span time.Duration, why string) (Freeze, error) {
	switch {
	case !e.HasSite(site):
		return Freeze{}, fmt.Errorf("there is no site %q", site)
	case span <= 0, span > MaxFreeze:
		return Freeze{}, fmt.Errorf("a freeze lasts at most %d days, and %v is no such time", MaxFreeze/(24*time.Hour), span)
	}
	return e.freezes.begin(site, span, why), nil
}

// Thaw ends a freeze. False: there was none.
func (e *Edge) Thaw(site string) bool { return e.freezes.end(site) }

// Frozen returns the freeze that a site is under.
func (e *Edge) Frozen(site string) (Freeze, bool) { return e.freezes.of(site) }

// freezes are the sites whose origins are left alone, by name: they outlive the configuration in which they began.
type freezes struct {
	clock   cache.Clock
	log     *slog.Logger
	changed chan struct{} // holds one

	mu    sync.RWMutex
	sites map[string]freeze // guarded by mu
}

type freeze struct {
	Freeze
	end cache.Instant
}

func newFreezes(clock cache.Clock, log *slog.Logger) *freezes {
	return &freezes{clock: clock, log: log, changed: make(chan struct{}, 1), sites: map[string]freeze{}}
}

func (f *freezes) begin(site string, span time.Duration, why string) Freeze {
	now := f.clock.Now()
	z := freeze{Freeze{now.Wall.Add(span).Round(0), why}, now.Mono.Add(span)}
	f.mu.Lock()
	f.sites[site] = z
	f.mu.Unlock()
	f.log.Warn("site frozen: its origins are left alone", "site", site, "for", span, "why", why)
	select {
	case f.changed <- struct{}{}:
	default:
	}
	return z.Freeze
}

func (f *freezes) end(site string) bool {
	f.mu.Lock()
	_, ok := f.sites[site]
	delete(f.sites, site)
	f.mu.Unlock()
	if ok {
		f.log.Info("site thawed by the operator", "site", site)
	}
	return ok
}

func (f *freezes) of(site string) (Freeze, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	z, ok := f.sites[site]
	return z.Freeze, ok && f.clock.Now().Mono < z.end
}

// left is how much longer a site is frozen; 0 is not.
func (f *freezes) left(site string, now cache.Instant) time.Duration {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.sites) == 0 {
		return 0
	}
	return max(0, f.sites[site].end.Sub(now))
}

// run ends freezes whose time is over. Requests know by themselves: this is for the log.
func (f *freezes) run(ctx context.Context) {
	for {
		timer := time.NewTimer(f.sweep())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// sweep forgets what is over, and returns the time to the next end.
func (f *freezes) sweep() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, next := f.clock.Now().Mono, MaxFreeze
	for site, z := range f.sites {
		if left := z.end.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		delete(f.sites, site)
		f.log.Info("site thawed: its time is over", "site", site)
	}
	return next
}

// reach says whether the origin of the request can be asked.
func (x *exchange) reach() cache.Reach {
	switch {
	case x.freezes.left(x.site.name, x.now.Mono) > 0:
		return cache.Frozen
	case x.route.pool.IsOut():
		return cache.Disconnected
	}
	return cache.Reachable
}

// freezeCollector tells which sites in force are frozen.
type freezeCollector struct{ *Edge }

var frozenDesc = prometheus.NewDesc("selvage_site_frozen", "1 while an operator has its origins left alone.", []string{"site"}, nil)

func (c freezeCollector) Describe(out chan<- *prometheus.Desc) { out <- frozenDesc }

func (c freezeCollector) Collect(out chan<- prometheus.Metric) {
	for _, site := range c.SiteNames() {
		_, frozen := c.Frozen(site)
		out <- prometheus.MustNewConstMetric(frozenDesc, prometheus.GaugeValue, float64(bit(frozen)), site)
	}
}
