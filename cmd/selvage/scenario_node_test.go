package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"selvage/cache"
	"selvage/edge"
	"selvage/origin"
	"selvage/purge"
	"selvage/tlsmgr"
)

// selvage is the node itself, put together as `run` does it, on the memory network.
type selvage struct {
	network *memoryNetwork
	logger  *slog.Logger
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
	clock, journal := cache.SystemClock(), purge.NewJournal()
	if s.store, err = cache.NewStore(cache.StoreConfig{MaxBytes: file.Memory}, clock, journal); err != nil {
		return nil, err
	}
	s.edge, err = edge.New(edge.Options{
		Config: file.edgeConfig(), Pools: pools, Store: s.store, Journal: journal, Clock: clock, Logger: s.logger,
		Version: "scenario", Certificates: s.certs, Listen: n.Listen,
	})
	if err != nil {
		s.store.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.ended <- s.edge.Run(ctx) }()
	return s, nil
}

// load reads a configuration as from a file, on a machine of known size.
func (s *selvage) load(config string) (*File, error) {
	return LoadFile("selvage.yaml", machine{
		env:         os.LookupEnv,
		read:        func(string) ([]byte, error) { return []byte(config), nil },
		glob:        filepath.Glob,
		memoryLimit: memoryLimit,
	})
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
	return nil
}

func (s *selvage) metrics() http.Handler { return s.edge.Metrics() }

func (s *selvage) stop() error {
	s.cancel()
	err := <-s.ended
	s.store.Close()
	for _, p := range s.pools {
		p.Close()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
