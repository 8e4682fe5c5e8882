package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/edge"
	"selvage/encode"
	"selvage/origin"
	"selvage/purge"
	"selvage/tlsmgr"
)

// node is the rooms, wired: a running Selvage, and what signals and the admin listener do to it.
type node struct {
	machine machine
	log     *slog.Logger
	name    string // of the configuration file; "" when there is none to read again

	journal *purge.Journal
	guard   *purge.Guard
	purges  *purge.API
	coding  cache.Encoding
	store   *cache.Store
	edge    *edge.Edge
	certs   *tlsmgr.Manager
	admin   *admin
	tell    func(state string) // tells the service manager
	abort   func()             // ends the process at once

	polling sync.WaitGroup // pools that run

	mu    sync.Mutex
	file  *File                   // in force; guarded by mu
	pools map[string]*origin.Pool // of file; guarded by mu
}

// opener opens the listeners' sockets.
type opener interface {
	listen(network, address string) (net.Listener, error)
	listenPacket(network, address string) (net.PacketConn, error) // for HTTP/3
}

// newNode opens everything that f asks for: pools, the store, the listeners; or nothing. Nothing is served before run.
func newNode(f *File, name string, m machine, log *slog.Logger, o opener) (*node, error) {
	n := &node{machine: m, log: log, name: name, file: f, abort: func() { os.Exit(exitFailed) }}
	n.tell = func(state string) { tellSystemd(log, state) }
	if err := n.open(f, o); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// open wires the rooms, from the origins to the listeners.
func (n *node) open(f *File, o opener) (err error) {
	if n.pools, err = openPools(f.Origins, nil, nil, n.log); err != nil {
		return err
	}
	if n.journal, err = openJournal(f.Disk, purge.Options{Log: n.log, MaxBytes: n.machine.memoryLimit / 8}); err != nil {
		return err
	}
	if n.certs, err = openCertificates(f, n.machine, n.log); err != nil {
		return err
	}
	clock, journal := cache.SystemClock(), n.journal
	n.coding = cache.Encoding{Meter: new(encode.Meter), Workshop: encode.NewWorkshop(f.Compress, encode.Crowded())}
	if n.store, err = cache.NewStore(cache.StoreConfig{
		MaxBytes: f.Memory, Disk: f.Disk, Encoding: n.coding, Logger: n.log,
		Identity: journal.Identity(), HighestEpoch: journal.Reserved(),
	}, clock, journal); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	n.guard = purge.NewGuard()
	if err = n.configureGuard(f); err != nil {
		return err
	}
	n.purges = purge.NewAPI(n.guard, journal, n.store, sitesInForce(func() *edge.Edge { return n.edge }), n.log)
	n.admin = &admin{
		ready: func() bool { return n.edge.Ready() }, metrics: http.HandlerFunc(n.serveMetrics), reload: n.reload, log: n.log,
		disk: n.store.Disk(), purges: n.purges, origins: n.origins, changeOrigin: n.changeOrigin, replaceUpstreams: n.replaceUpstreams,
		certificates: n.certs.Certificates, sites: func() *edge.Edge { return n.edge },
	}
	if err = n.admin.listen(f.Admin, n.machine.env, os.Geteuid()); err != nil {
		return err
	}
	n.edge, err = edge.New(edge.Options{
		Config: f.edgeConfig(), Pools: forEdge(n.pools), Store: n.store, Journal: journal, Purges: n.purges, Clock: clock,
		Logger: n.log, Version: thisBuild().Version, Certificates: n.certs, Listen: o.listen, ListenPacket: o.listenPacket,
	})
	return err
}

// configureGuard puts in force who may purge.
func (n *node) configureGuard(f *File) error {
	admin, err := f.Admin.hash(n.machine.secret)
	if err != nil {
		return fmt.Errorf("admin.token: %w", err)
	}
	return n.guard.Configure(f.Purge, admin, n.machine.secret)
}

// sitesInForce are the edge's, which is opened last.
type sitesInForce func() *edge.Edge

func (s sitesInForce) HasSite(name string) bool { return s().HasSite(name) }

func (s sitesInForce) PurgeURLs(host, path, query string, hasQuery bool) (site string, urls []string) {
	return s().PurgeURLs(host, path, query, hasQuery)
}

// openCertificates makes the certificates, or reads them.
func openCertificates(f *File, m machine, log *slog.Logger) (*tlsmgr.Manager, error) {
	folder := stateFolder(f.TLS.State, m.env, os.Geteuid())
	return tlsmgr.New(tlsmgr.Options{
		Config: f.TLS, Listeners: f.tlsListeners(), Sites: f.tlsSites(), Storage: tlsmgr.NewFolder(folder), Secret: m.secret,
		Logger: log,
	})
}

// openJournal opens the purge journal beside the disk tier: what outlives the process has to remember what was purged of it.
// Without its file the journal is new, and so nothing on the disk is trusted.
func openJournal(d cache.DiskConfig, o purge.Options) (*purge.Journal, error) {
	if d.Path == "" {
		return purge.New(o), nil
	}
	err := os.MkdirAll(d.Path, 0o700)
	if err == nil {
		var j *purge.Journal
		if j, err = purge.Open(filepath.Join(d.Path, "purges"), o); err == nil {
			sayRecovered(j.Recovered(), o.Log)
			return j, nil
		}
	}
	if errors.Is(err, purge.ErrInUse) {
		return nil, fmt.Errorf("disk %s: %w", d.Path, err)
	}
	o.Log.Error("no purge journal on the disk until the next start; what is cached there is dropped", "path", d.Path, "error", err)
	return purge.New(o), nil
}

func sayRecovered(r purge.Recovery, log *slog.Logger) {
	if r.Damage != nil {
		log.Error("the purge journal cannot be read; it begins anew, and what is cached on the disk is dropped", "error", r.Damage, "aside", r.Aside)
	}
}

func (n *node) serveMetrics(w http.ResponseWriter, r *http.Request) { n.edge.Metrics().ServeHTTP(w, r) }

// close lets go of what open opened, so far as it came, and run has not closed.
func (n *node) close() {
	if n.admin != nil {
		n.admin.close()
	}
	if n.store == nil && n.coding.Workshop != nil {
		n.coding.Workshop.Close() // otherwise the store does
	}
	if n.store != nil {
		n.store.Close()
		over, end := context.WithCancel(context.Background())
		end()
		_ = n.store.Run(over) // lets go of the disk, unless run has done so
	}
	if n.journal != nil {
		if err := n.journal.Close(); err != nil {
			n.log.Error("purge journal", "error", err)
		}
	}
	closePools(n.pools, nil)
	n.polling.Wait()
}

// run serves until a signal ends it and all requests under way are answered, or the drain timeout has passed.
func (n *node) run(signals <-chan os.Signal) error {
	defer n.close()
	serving, drain := context.WithCancel(context.Background())
	defer drain()
	alive, end := context.WithCancel(context.Background())
	n.log.Info("serving", "version", thisBuild().Version, "listeners", textOf(n.edge.Addrs()), "streams", textOf(n.edge.StreamAddrs()),
		"memory", formatSize(n.file.Memory), "memory_limit", formatSize(n.machine.memoryLimit))
	ballast := ballastFor(n.file, memoryIsLimited())
	n.runPools(n.pools, nil)
	n.tell(daemon.SdNotifyReady) // connections wait in the sockets already
	var g errgroup.Group
	writing, settle := context.WithCancel(context.Background())
	defer settle()
	g.Go(func() error {
		defer end() // the admin side answers for as long as the edge drains
		err := n.edge.Run(serving)
		n.store.Close() // ends the fills, and with them what there is to write
		settle()
		return err
	})
	g.Go(func() error { return n.store.Run(writing) })
	g.Go(func() error { return n.journal.Run(writing) })
	g.Go(func() error { return n.store.Sweep(serving, n.journal.Changed()) })
	g.Go(func() error { return n.certs.Run(alive) })
	g.Go(func() error { return n.admin.Run(alive) })
	g.Go(func() error { return tidy(alive, ballast) })
	g.Go(func() error {
		n.obey(alive, signals, func() {
			n.purges.Stop()
			drain()
		})
		return nil
	})
	return g.Wait()
}

func textOf(addresses []net.Addr) []string {
	var all []string
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return all
}

// nodeSignals are the signals that obey knows.
var nodeSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1}

// obey does what signals say until ctx ends.
func (n *node) obey(ctx context.Context, signals <-chan os.Signal, drain func()) {
	draining := false
	for {
		var s os.Signal
		select {
		case <-ctx.Done():
			return
		case s = <-signals:
		}
		switch s {
		case syscall.SIGHUP:
			n.reload()
		case syscall.SIGUSR1:
			n.reopenLogs()
		case syscall.SIGTERM, syscall.SIGINT:
			if draining {
				n.log.Warn("ending at once", "signal", s.String())
				n.abort()
				return
			}
			draining = true
			n.tell(daemon.SdNotifyStopping)
			n.log.Info("draining: no new connections; a second signal ends at once", "signal", s.String())
			drain()
		}
	}
}

func (n *node) reopenLogs() {
	if err := n.edge.ReopenLogs(); err != nil {
		n.log.Error("the access log stays where it was", "error", err)
		return
	}
	n.log.Info("access log reopened")
}

// reload reads the file again and puts it in force, or says why not and changes nothing.
func (n *node) reload() verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, err := n.apply()
	v := newVerdict(n.name, f, err)
	switch {
	case v.OK:
		n.log.Info("configuration in force", "file", n.name, "sites", v.Sites, "origins", v.Origins)
	case len(v.Problems) == 0:
		n.log.Error("reload refused; the old configuration stays", "error", err)
	default:
		n.log.Error("reload refused; the old configuration stays", "problems", len(v.Problems))
		for _, p := range v.Problems {
			n.log.Error(p.String())
		}
	}
	return v
}

// apply is the whole of a reload, in steps that can be taken back until the last has worked. The caller holds n.mu.
func (n *node) apply() (*File, error) {
	if n.name == "" {
		return nil, errors.New("there is no configuration file to read again")
	}
	f, err := LoadFile(n.name, n.machine)
	if err != nil {
		return nil, err
	}
	if f.Memory != n.file.Memory || f.Disk != n.file.Disk || !reflect.DeepEqual(f.Admin, n.file.Admin) {
		return nil, errors.New("memory, disk or admin changed: they are set at start only, so restart to change them")
	}
	if f.TLS.State != n.file.TLS.State {
		return nil, errors.New("tls.state changed: it is opened at start only, so restart to change it")
	}
	certify, err := n.certs.Prepare(f.TLS, f.tlsListeners(), f.tlsSites())
	if err != nil {
		return nil, err
	}
	pools, err := openPools(f.Origins, n.file.Origins, n.pools, n.log)
	if err != nil {
		return nil, err
	}
	if err := n.enforce(f, pools); err != nil {
		return nil, err
	}
	if err := n.configureGuard(f); err != nil { // the file has been read a moment ago, and its tokens with it
		n.log.Error("the tokens stay as they were", "error", err)
	}
	certify()
	n.coding.Workshop.Configure(f.Compress)
	return f, nil
}
