package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"selvage/edge"
	"selvage/origin"
)

// openPools makes a pool for each origin. One that has not changed keeps its pool, and with it its connections.
func openPools(configs, oldConfigs map[string]origin.Config, old map[string]*origin.Pool, log *slog.Logger) (map[string]*origin.Pool, error) {
	pools := make(map[string]*origin.Pool)
	for name, config := range configs {
		if p, ok := old[name]; ok && reflect.DeepEqual(config, oldConfigs[name]) {
			pools[name] = p
			continue
		}
		p, err := origin.New(name, config, origin.Network{}, log)
		if err != nil {
			closePools(pools, old)
			return nil, err
		}
		pools[name] = p
	}
	return pools, nil
}

// closePools closes those that are not kept.
func closePools(pools, kept map[string]*origin.Pool) {
	for name, p := range pools {
		if kept[name] != p {
			p.Close()
		}
	}
}

func forEdge(pools map[string]*origin.Pool) map[string]edge.Pool {
	out := make(map[string]edge.Pool)
	for name, p := range pools {
		out[name] = p
	}
	return out
}

// runPools has those that are not running yet check their upstreams, until they are closed.
func (n *node) runPools(pools, running map[string]*origin.Pool) {
	for name, p := range pools {
		if running[name] != p {
			n.polling.Go(func() { _ = p.Run(context.Background()) })
		}
	}
}

// originStatus is what an origin's upstreams are doing.
type originStatus struct {
	Origin string `json:"origin"`
	origin.Status
}

// unknownOrigin is the name of an origin that there is not.
type unknownOrigin string

func (name unknownOrigin) Error() string { return fmt.Sprintf("there is no origin %q", string(name)) }

// origins tells what the upstreams of every origin are doing, by name.
func (n *node) origins() []originStatus {
	n.mu.Lock()
	pools := n.pools
	n.mu.Unlock()
	all := []originStatus{}
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		all = append(all, originStatus{name, pools[name].Status()})
	}
	return all
}

// originChange is the body of PATCH /v1/origins.
type originChange struct {
	Origin   string `json:"origin"`
	Upstream string `json:"upstream"`
	origin.Change
}

// changeOrigin changes an upstream until the configuration is read again.
func (n *node) changeOrigin(c originChange) error {
	n.mu.Lock()
	p := n.pools[c.Origin]
	n.mu.Unlock()
	if p == nil {
		return unknownOrigin(c.Origin)
	}
	return p.Change(c.Upstream, c.Change)
}
