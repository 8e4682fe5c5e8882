package origin

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// service is a name whose SRV records (RFC 2782) say which upstreams there are. The set follows the records while the pool
// runs; what is in flight at one that leaves is not disturbed.
type service struct {
	pool   *Pool
	config UpstreamConfig
	log    *slog.Logger
	found  chan struct{} // closed after the first look-up

	// Owned by run.
	members map[target]*member
	heard   time.Time // when the records were last read
	failing bool
}

// target is what of an SRV record makes an upstream.
type target struct {
	address string
	weight  int
	backup  bool
}

// member is an upstream of a service, and what ends its goroutine.
type member struct {
	*upstream
	stop func()
}

func newService(p *Pool, uc UpstreamConfig) *service {
	a, _, _ := parseAddress(uc.URL)
	return &service{
		pool: p, config: uc, log: p.log.With("origin", p.name, "service", a.host),
		found: make(chan struct{}), members: make(map[target]*member),
	}
}

// run follows the records until ctx ends.
func (s *service) run(ctx context.Context) {
	var members sync.WaitGroup
	defer members.Wait()
	s.follow(ctx, &members)
	close(s.found)
	every(ctx, s.pool.config.Resolve.Interval, func() { s.follow(ctx, &members) })
}

// follow looks the records up once.
func (s *service) follow(ctx context.Context, members *sync.WaitGroup) {
	limited, cancel := context.WithTimeout(ctx, s.pool.config.Resolve.Interval)
	defer cancel()
	a, _, _ := parseAddress(s.config.URL)
	_, records, err := s.pool.network.Resolver.LookupSRV(limited, "", "", a.host)
	switch now := time.Now(); {
	case ctx.Err() != nil:
		return
	case err == nil && len(records) > 0:
		s.heard, s.failing = now, false
		s.change(ctx, targetsOf(records, s.config), members)
	case now.Sub(s.heard) > s.pool.config.Resolve.Keep:
		s.change(ctx, nil, members)
		fallthrough
	default:
		if !s.failing {
			s.log.Warn("look-up of the service failed; its last upstreams are kept", "upstreams", len(s.members), "error", err)
		}
		s.failing = true
	}
}

// targetsOf reads records: those of the lowest priority are asked first, the others are backups. A weight of 0 is for targets
// that are rarely picked (RFC 2782); here all have some.
func targetsOf(records []*net.SRV, c UpstreamConfig) []target {
	first := slices.MinFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	var all []target
	for _, r := range records {
		if r.Target == "." { // the service is decidedly not available
			continue
		}
		all = append(all, target{
			address: net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))),
			weight:  max(1, int(r.Weight)), backup: c.Backup || r.Priority > first,
		})
	}
	return all
}

// change makes targets the upstreams of the service.
func (s *service) change(ctx context.Context, targets []target, members *sync.WaitGroup) {
	for t, m := range s.members {
		if !slices.Contains(targets, t) {
			delete(s.members, t)
			s.pool.remove(m.upstream)
			m.stop()
			s.log.Info("upstream has left the service", "upstream", m.name)
		}
	}
	for _, t := range targets {
		if s.members[t] != nil {
			continue
		}
		u := s.join(t)
		ctx, stop := context.WithCancel(ctx)
		s.members[t] = &member{u, stop}
		members.Go(func() { u.run(ctx) })
		s.log.Info("upstream has joined the service", "upstream", u.name)
	}
}

func (s *service) join(t target) *upstream {
	service, _, _ := parseAddress(s.config.URL)
	c := s.config
	c.Weight, c.Backup = t.weight, t.backup
	u, _ := s.pool.newUpstream(c, address{ // only a folder can fail to open
		name: hostPort(service.scheme, t.address), scheme: service.scheme, host: t.address,
	})
	s.pool.add(u)
	return u
}

// awaitServices waits until every service was looked up once, for as long as a connection may take.
func (p *Pool) awaitServices(ctx context.Context) {
	if len(p.services) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeouts.Connect)
	defer cancel()
	for _, s := range p.services {
		select {
		case <-s.found:
		case <-ctx.Done():
		}
	}
}
