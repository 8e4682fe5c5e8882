package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/edge"
	"selvage/encode"
	"selvage/origin"
	"selvage/purge"
	"selvage/tlsmgr"
)

// selvage is the node itself, put together as `run` does it, on the memory network.
type selvage struct {
	network *memoryNetwork
	logger  *slog.Logger
	journal *purge.Journal
	guard   *purge.Guard
	purges  *purge.API
	edge    *edge.Edge
	certs   *tlsmgr.Manager
	store   *cache.Store
	pools   []*origin.Pool // all that were ever made
	cancel  context.CancelFunc
	ended   chan error
}

// memoryLimit is the machine's in scenarios, so that the default memory tier does not depend on where they run.
const memoryLimit = 1 << 30

func startSelvage(n *memoryNetwork, config string) (subject, error) {
	s := &selvage{network: n, logger: slog.New(slog.DiscardHandler), ended: make(chan error, 1)}
	file, err := s.load(config)
	if err != nil {
		return nil, err
	}
	pools, err := s.makePools(file)
	if err != nil {
		return nil, err
	}
	if s.certs, err = tlsmgr.New(tlsmgr.Options{
		Config: file.TLS, Listeners: file.tlsListeners(), Sites: file.tlsSites(), Logger: s.logger,
	}); err != nil {
		return nil, err
	}
	if err := s.openRooms(file, pools); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.ended <- s.run(ctx) }()
	return s, nil
}

func (s *selvage) openRooms(file *File, pools map[string]edge.Pool) (err error) {
	clock := cache.SystemClock()
	if s.journal, err = openJournal(file.Disk, purge.Options{Log: s.logger}); err != nil {
		return err
	}
	coding := cache.Encoding{Meter: new(encode.Meter), Workshop: encode.NewWorkshop(file.Compress, nil)}
	if s.store, err = cache.NewStore(cache.StoreConfig{
		MaxBytes: file.Memory, Encoding: coding, Disk: file.Disk, Identity: s.journal.Identity(), HighestEpoch: s.journal.Reserved(),
	}, clock, s.journal); err != nil {
		coding.Workshop.Close()
		return err
	}
	s.guard = purge.NewGuard()
	if err := s.guard.Configure(file.Purge, nil, scenarioMachine("").secret); err != nil {
		return err
	}
	s.purges = purge.NewAPI(s.guard, s.journal, s.store, sitesInForce(func() *edge.Edge { return s.edge }), s.logger)
	s.edge, err = edge.New(edge.Options{
		Config: file.edgeConfig(), Pools: pools, Store: s.store, Journal: s.journal, Purges: s.purges, Clock: clock,
		Logger: s.logger, Version: "scenario", Certificates: s.certs, Listen: s.network.Listen,
	})
	if err != nil {
		s.store.Close()
	}
	return err
}

// run serves until ctx ends, and then writes what is to be written.
func (s *selvage) run(ctx context.Context) error {
	var g errgroup.Group
	writing, settle := context.WithCancel(context.Background())
	g.Go(func() error {
		err := s.edge.Run(ctx)
		s.store.Close()
		settle()
		return err
	})
	g.Go(func() error { return s.store.Run(writing) })
	g.Go(func() error { return s.journal.Run(writing) })
	g.Go(func() error { return s.store.Sweep(ctx, s.journal.Changed()) })
	return g.Wait()
}

// load reads a configuration as from a file.
func (s *selvage) load(config string) (*File, error) {
	return LoadFile("selvage.yaml", scenarioMachine(config))
}

// scenarioMachine is a machine of known size that has one file. What secrets it knows are written in scenarios as they are
// named in the configuration.
func scenarioMachine(config string) machine {
	return machine{
		env: func(name string) (string, bool) {
			if token, ok := strings.CutPrefix(name, "TOKEN_"); ok {
				return "secret-of-" + strings.ToLower(token), true
			}
			return os.LookupEnv(name)
		},
		read:        func(string) ([]byte, error) { return []byte(config), nil },
		glob:        filepath.Glob,
		memoryLimit: memoryLimit,
	}
}

func (s *selvage) makePools(file *File) (map[string]edge.Pool, error) {
	pools := make(map[string]edge.Pool)
	for name, c := range file.Origins {
		p, err := origin.New(name, c, origin.Network{Dial: s.network.Dial}, s.logger)
		if err != nil {
			return nil, fmt.Errorf("origin %s: %w", name, err)
		}
		pools[name] = p
		go p.Run(context.Background()) // until it is closed
		s.pools = append(s.pools, p)
	}
	return pools, nil
}

func (s *selvage) reload(config string) error {
	file, err := s.load(config)
	if err != nil {
		return err
	}
	pools, err := s.makePools(file)
	if err != nil {
		return err
	}
	certify, err := s.certs.Prepare(file.TLS, file.tlsListeners(), file.tlsSites())
	if err != nil {
		return err
	}
	if err := s.edge.Reload(file.edgeConfig(), pools); err != nil {
		return err
	}
	certify()
	return s.guard.Configure(file.Purge, nil, scenarioMachine("").secret)
}

func (s *selvage) metrics() http.Handler { return s.edge.Metrics() }

func (s *selvage) admin() http.Handler {
	a := &admin{ready: s.edge.Ready, metrics: s.metrics(), disk: s.store.Disk(), purges: s.purges, log: s.logger,
		sites: func() *edge.Edge { return s.edge }}
	return a.behindSocket()
}

func (s *selvage) stop() error {
	s.cancel()
	err := <-s.ended
	for _, p := range s.pools {
		p.Close()
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.journal.Close())
}
