package main

import (
	"errors"
	"fmt"
	"strings"
)

// otherNode reads `node NAME`: one more node, which listens at http://NAME, with the configuration under it.
func (p *scriptParser) otherNode(b statement) error {
	name, ok := strings.CutPrefix(b.text, "node ")
	if !ok || len(b.rest) == 0 {
		return fmt.Errorf("%q: wants a name, and indented YAML under it", b.text)
	}
	var config strings.Builder
	fmt.Fprintf(&config, "version: 1\nid: %s\nlisteners: [{address: \"%s:80\"}]\nlog: {format: \"off\"}\n", name, name)
	writeIndented(&config, "", yamlLines(b))
	p.add(b, func(s *stage) error {
		n, err := s.start(s.network, config.String())
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		s.others[name] = n
		return nil
	})
	return nil
}

// at returns the node of that name, "" the one that clients ask.
func (s *stage) at(name string) (subject, error) {
	if name == "" {
		return s.node, nil
	}
	if n := s.others[name]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("there is no node %s", name)
}

// stopOthers ends the nodes that clients do not ask.
func (s *stage) stopOthers() (err error) {
	for _, n := range s.others {
		err = errors.Join(err, n.stop())
	}
	return err
}
