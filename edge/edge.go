package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/edge/internal/lane"
	"selvage/purge"
)

// Options are what an Edge is made of. All of them are needed, apart from Purges, Certificates, Listen and ListenPacket.
type Options struct {
	Config  Config // validated
	Pools   map[string]Pool
	Store   *cache.Store
	Journal *purge.Journal
	Purges  *purge.API // obeys PURGE; nil: nobody may
	Clock   cache.Clock
	Logger  *slog.Logger
	Version string // of the program, for the metrics
	// Certificates are for listeners with TLS; nil is none.
	Certificates Certificates
	// Listen opens a socket; nil is net.Listen. Tests pass an in-memory network.
	Listen func(network, address string) (net.Listener, error)
	// ListenPacket opens one for HTTP/3; nil is without.
	ListenPacket func(network, address string) (net.PacketConn, error)
}

// Edge serves the sites of a configuration on its listeners.
type Edge struct {
	store    *cache.Store
	journal  *purge.Journal
	purges   *purge.API
	clock    cache.Clock
	logger   *slog.Logger
	identity identity
	visits   *visits
	freezes  *freezes
	log      *accessLog
	metrics  *metrics
	server   *lane.Server
	certs    Certificates
	sockets  []lane.Listener // immutable after New, as the next
	streams  []streamSocket

	conf  atomic.Pointer[snapshot]
	ready atomic.Bool
}

// snapshot is a compiled configuration. A request uses the one it began with.
type snapshot struct {
	Config
	pools    map[string]Pool
	sites    *sites
	trust    trust
	limits   Limits
	timeouts Timeouts
}

// New opens the listeners and returns an Edge that serves them once Run is called.
func New(o Options) (*Edge, error) {
	o.setDefaults()
	e := &Edge{
		store: o.Store, journal: o.Journal, purges: o.Purges, clock: o.Clock, logger: o.Logger,
		identity: newIdentity(o.Config.ID), visits: newVisits(), metrics: newMetrics(o.Version), certs: o.Certificates,
		freezes: newFreezes(o.Clock, o.Logger),
	}
	var err error
	if e.log, err = openAccessLog(o.Config.Log, os.Stdout, e.metrics.LogLinesLost, o.Logger); err != nil {
		return nil, err
	}
	e.metrics.watchStore(o.Store)
	e.metrics.registry.MustRegister(purgeCollector{o.Journal})
	e.conf.Store(e.compile(o.Config, o.Pools))
	e.metrics.registry.MustRegister(upstreamCollector{e}, freezeCollector{e})
	e.server = lane.NewServer(e.laneConfig(o.Config), e)
	if err = e.openStreams(o); err != nil {
		return nil, err
	}
	if e.sockets, err = e.openSockets(o); err != nil {
		e.closeStreams()
		return nil, err
	}
	return e, nil
}

func (o *Options) setDefaults() {
	if o.Certificates == nil {
		o.Certificates = noCertificates{}
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
}

func (e *Edge) compile(c Config, pools map[string]Pool) *snapshot {
	return &snapshot{
		Config: c, pools: pools, sites: compileSites(c.Sites, pools, e.store.MaxObject()), trust: compileTrust(c.TrustedProxies),
		limits: c.Limits, timeouts: c.Timeouts,
	}
}

// Run serves until ctx ends, then lets what is under way finish, for at most the drain timeout.
func (e *Edge) Run(ctx context.Context) error {
	logged := make(chan struct{})
	logging, stopLogging := context.WithCancel(context.Background())
	go func() {
		defer close(logged)
		e.log.Run(logging)
	}()
	defer func() {
		stopLogging()
		<-logged
	}()
	serving, ctx := errgroup.WithContext(ctx)
	for _, s := range e.sockets {
		serving.Go(func() error { return e.server.Serve(s) })
	}
	serving.Go(func() error {
		e.freezes.run(ctx)
		return nil
	})
	e.runStreams(serving)
	e.ready.Store(true)
	serving.Go(func() error {
		<-ctx.Done()
		e.ready.Store(false)
		patience, cancel := context.WithTimeout(context.Background(), e.conf.Load().timeouts.Drain)
		defer cancel()
		return e.drain(patience)
	})
	if err := serving.Wait(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Reload swaps the configuration: requests under way finish with the one they began with. Listeners cannot change.
func (e *Edge) Reload(c Config, pools map[string]Pool) error {
	if err := sameSockets(e.conf.Load().Listeners, c.Listeners); err != nil {
		return err
	}
	if err := sameStreams(e.conf.Load().Streams, c.Streams); err != nil {
		return err
	}
	if c.Log != e.conf.Load().Log {
		return errors.New("log changed: it is opened at start only, so restart to change it")
	}
	e.conf.Store(e.compile(c, pools))
	lc := e.laneConfig(c)
	e.server.Reconfigure(lc.Limits, lc.Timeouts)
	e.reloadStreams(c, pools)
	return nil
}

// ReopenLogs opens the access log's file anew, after it was moved away.
func (e *Edge) ReopenLogs() error { return e.log.Reopen() }

// Ready reports whether requests are being accepted.
func (e *Edge) Ready() bool { return e.ready.Load() }

// Metrics serves the node's metrics in Prometheus's text format.
func (e *Edge) Metrics() http.Handler { return e.metrics.Handler() }

// Addrs returns where the listeners listen, in the order of the configuration.
func (e *Edge) Addrs() []net.Addr {
	var all []net.Addr
	for _, s := range e.sockets {
		all = append(all, s.Addr())
	}
	return all
}
