package main

import (
	"maps"
	"reflect"

	"selvage/origin"
)

// upstreamSet is the body of PUT /v1/origins/{origin}: what an origin of the file says of who its upstreams are.
type upstreamSet struct {
	URLs      []string                `yaml:"urls" json:"urls,omitempty"`
	Upstreams []origin.UpstreamConfig `yaml:"upstreams" json:"-"`
}

// readUpstreamSet reads it by the rules of the file: JSON is YAML, and what is wrong is told in the same words. Nothing is
// taken from the environment: it is not the file's writer who asks.
func readUpstreamSet(body []byte) (s upstreamSet, problems Diagnostics) {
	l := &loader{places: make(map[string]place), broken: make(map[string]bool)}
	l.machine.env = func(string) (string, bool) { return "", false }
	l.decode(newSource("body", body), reflect.ValueOf(&s).Elem())
	return s, l.problems
}

// replaceUpstreams makes s the upstreams of an origin, in place of the file's or those of the last call. All else about the
// origin stays as the file has it. Requests under way finish where they are.
func (n *node) replaceUpstreams(name string, s upstreamSet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := *n.file
	config, ok := f.Origins[name]
	if !ok {
		return unknownOrigin(name)
	}
	config.URLs, config.Upstreams = s.URLs, s.Upstreams
	f.Origins = maps.Clone(f.Origins)
	f.Origins[name] = config
	var problems Diagnostics
	report := func(path, problem, hint string) {
		problems = append(problems, Diagnostic{Path: path, Problem: problem, Hint: hint})
	}
	config.Validate(report)
	f.validateCarriage(report) // what asks the origin has to be able to use it
	if len(problems) > 0 {
		return problems
	}
	p, err := origin.New(name, config, origin.Network{}, n.log)
	if err != nil {
		return err
	}
	pools := maps.Clone(n.pools)
	pools[name] = p
	if err := n.enforce(n.file, pools); err != nil {
		return err
	}
	n.log.Info("upstreams replaced by the operator", "origin", name, "upstreams", len(s.URLs)+len(s.Upstreams))
	return nil
}

// enforce puts a file and its pools in force, and lets go of the pools it replaces; on an error, of the new ones. The caller
// holds n.mu.
func (n *node) enforce(f *File, pools map[string]*origin.Pool) error {
	if err := n.edge.Reload(f.edgeConfig(), forEdge(pools)); err != nil {
		closePools(pools, n.pools)
		return err
	}
	n.runPools(pools, n.pools)
	closePools(n.pools, pools) // requests under way keep theirs until they are done
	n.file, n.pools = f, pools
	return nil
}
