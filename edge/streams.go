package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"golang.org/x/sync/errgroup"

	"selvage/edge/internal/stream"
)

// streamSocket is a stream of the configuration: its server, and the socket that is its own.
type streamSocket struct {
	*stream.Server
	listener net.Listener // nil when it shares a listener's
}

// openStreams opens the streams' sockets, or none.
func (e *Edge) openStreams(o Options) (err error) {
	for i := range o.Config.Streams {
		c := &o.Config.Streams[i]
		s := streamSocket{Server: stream.NewServer(e.compileStream(o.Config, c, o.Pools), e.streamEnded, e.logger)}
		if c.sharesWith(o.Config.Listeners) == nil {
			if s.listener, err = o.listen(c.Address, c.ProxyProtocol); err != nil {
				e.closeStreams()
				return fmt.Errorf("stream %s: %w", c.Address, err)
			}
		}
		e.streams = append(e.streams, s)
	}
	return nil
}

func (e *Edge) closeStreams() {
	for _, s := range e.streams {
		if s.listener != nil {
			s.listener.Close()
		}
	}
}

// streamShare is the part of the descriptor limit that all streams may have as connections, if the configuration does not
// say: each takes two descriptors, so that is a quarter. The sites then have a half, and the rest is for origins and the disk.
const streamShare = 8

// connsBeside is the bound of connections for the sites; 0 is the lane's own.
func (c *Config) connsBeside() int {
	if c.Limits.Conns == 0 && len(c.Streams) > 0 {
		return max(1, descriptors()/2)
	}
	return c.Limits.Conns
}

// compileStream makes what a stream does with connections. Like compileSites it panics on what Validate refuses.
func (e *Edge) compileStream(all Config, c *StreamConfig, pools map[string]Pool) *stream.Config {
	g := gate{allow: mustPrefixes(c.Allow), deny: mustPrefixes(c.Deny)}
	routes := e.compileStreamRoutes(c, pools)
	s := &stream.Config{
		Label: c.Label(), ByName: len(c.Routes) > 0, Target: routes.find,
		Admits: g.admits,
		Hello:  c.Timeouts.Hello, Connect: c.Timeouts.Connect, Idle: c.Timeouts.Idle,
		MaxConns: c.MaxConns, MaxPerAddress: c.MaxConnsPerAddress,
	}
	if s.MaxConns == 0 {
		s.MaxConns = max(1, descriptors()/streamShare/len(all.Streams))
	}
	return s
}

func (e *Edge) compileStreamRoutes(c *StreamConfig, pools map[string]Pool) *byHost[stream.Target] {
	target := func(origin string) *stream.Target {
		p, ok := pools[origin].(stream.Pool)
		if !ok {
			panic(fmt.Sprintf("edge: streams cannot go to the origin %q", origin))
		}
		return &stream.Target{Origin: origin, Pool: p, Traffic: e.metrics.streams.traffic(c.Label(), origin)}
	}
	routes := newByHost[stream.Target]()
	for _, r := range c.Routes {
		to := target(r.Origin)
		for _, host := range r.Hosts {
			routes.add(host, to)
		}
	}
	if c.Origin != "" {
		routes.fallback = target(c.Origin)
	}
	return routes
}

// descriptors is how many files and sockets the process may have open.
func descriptors() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 1024 // what is usual
	}
	return int(min(files.Cur, 1<<20))
}

// divert returns who takes connections away from a listener, before their handshake: the stream that shares its socket.
func (e *Edge) divert(c ListenerConfig, streams []StreamConfig) func(net.Conn) func() {
	i := slices.IndexFunc(streams, func(s StreamConfig) bool { return s.Address == c.Address })
	if i < 0 {
		return nil
	}
	s := e.streams[i].Server
	return func(c net.Conn) func() {
		p := c.(*proxiedConn) // see sharedListener
		name, read, err := stream.ReadHello(p)
		if err != nil || !s.Takes(name) {
			p.putBack(read) // for the sites, who will say what is wrong with it
			return nil
		}
		return func() { s.Adopt(p, name, read) }
	}
}

// sharedListener accepts connections of which something can be read and put back.
type sharedListener struct{ net.Listener }

func (l sharedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if _, ok := c.(*proxiedConn); ok || err != nil {
		return c, err
	}
	return &proxiedConn{Conn: c, remote: c.RemoteAddr()}, nil
}

// runStreams accepts connections for the streams.
func (e *Edge) runStreams(serving *errgroup.Group) {
	for _, s := range e.streams {
		if s.listener != nil {
			serving.Go(func() error {
				s.Serve(s.listener)
				return nil
			})
		}
	}
}

// drain ends all servers: what is under way may finish until ctx ends.
func (e *Edge) drain(ctx context.Context) error {
	var draining errgroup.Group
	draining.Go(func() error { return e.server.Shutdown(ctx) })
	for _, s := range e.streams {
		draining.Go(func() error { return s.Shutdown(ctx) })
	}
	return draining.Wait()
}

func (e *Edge) reloadStreams(c Config, pools map[string]Pool) {
	for i := range c.Streams {
		e.streams[i].Configure(e.compileStream(c, &c.Streams[i], pools))
	}
}

// sameStreams reports whether a reload leaves the streams' sockets as they are.
func sameStreams(old, now []StreamConfig) error {
	same := slices.EqualFunc(old, now, func(a, b StreamConfig) bool {
		return a.Address == b.Address && slices.Equal(a.ProxyProtocol, b.ProxyProtocol)
	})
	if !same {
		return errors.New("addresses or proxy_protocol of streams changed: they are opened at start only, so restart to change them")
	}
	return nil
}

// StreamAddrs returns where the streams with a socket of their own listen, in the order of the configuration.
func (e *Edge) StreamAddrs() []net.Addr {
	var all []net.Addr
	for _, s := range e.streams {
		if s.listener != nil {
			all = append(all, s.listener.Addr())
		}
	}
	return all
}

// streamEnded accounts for a connection that was passed on, or refused.
func (e *Edge) streamEnded(a *stream.Account) {
	if a.Error != "" {
		e.metrics.streams.errors.WithLabelValues(a.Stream, a.Error).Inc()
	}
	e.log.RecordStream(a)
}
