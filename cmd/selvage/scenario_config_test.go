package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// configText is what a scenario says of the configuration: everything (`config`), or some keys of its only site (`site`)
// and of that site's cache section (`cache`).
type configText struct {
	full, site, cache []string
	disk              bool     // a disk tier beside the log file
	origins           []string // names, in the order they are mentioned
}

func (p *scriptParser) fullConfig(b statement) error  { return setYAML(&p.config.full, b) }
func (p *scriptParser) siteConfig(b statement) error  { return setYAML(&p.config.site, b) }
func (p *scriptParser) cacheConfig(b statement) error { return setYAML(&p.config.cache, b) }

func setYAML(to *[]string, b statement) error {
	if strings.Contains(b.text, " ") || len(b.rest) == 0 || *to != nil {
		return fmt.Errorf("%q: wants indented YAML under it, once", b.text)
	}
	*to = yamlLines(b)
	return nil
}

func yamlLines(b statement) []string {
	var lines []string
	for _, l := range b.rest {
		lines = append(lines, l.text)
	}
	return lines
}

// mention notes an origin's name, so that the configuration has it.
func (c *configText) mention(name string) {
	if !slices.Contains(c.origins, name) {
		c.origins = append(c.origins, name)
	}
}

// compose completes what the scenario says with what every scenario has: two listeners, an access log in JSON, one
// site for example.com, and for each origin its name as its URL.
func (c configText) compose(m *mode, logFile string) string {
	var out strings.Builder
	has := func(key string) bool {
		return slices.ContainsFunc(c.full, func(l string) bool { return strings.HasPrefix(l, key+":") })
	}
	out.WriteString("version: 1\n")
	if !has("listeners") {
		out.WriteString("listeners:\n  - address: \":80\"\n  - address: \":443\"\n    tls: {self_signed: true}\n")
	}
	if !has("log") {
		fmt.Fprintf(&out, "log: {format: json, file: %q}\n", logFile)
	}
	if c.disk {
		fmt.Fprintf(&out, "disk: {path: %q, size: 64MiB}\n", filepath.Join(filepath.Dir(logFile), "disk"))
	}
	if m.lane != "" && !has("fast_lane") {
		fmt.Fprintf(&out, "fast_lane: %q\n", m.lane)
	}
	if !has("origins") {
		out.WriteString("origins:\n")
		for _, name := range c.origins {
			fmt.Fprintf(&out, "  %s: {urls: [\"http://%s\"]}\n", name, name)
		}
	}
	if !has("sites") {
		out.WriteString("sites:\n  - hosts: [example.com]\n    origin: main\n")
		writeIndented(&out, "    ", c.site)
		if c.cache != nil {
			out.WriteString("    cache:\n")
			writeIndented(&out, "      ", c.cache)
		}
	}
	writeIndented(&out, "", c.full)
	return out.String()
}

func writeIndented(out *strings.Builder, indent string, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(out, "%s%s\n", indent, l)
	}
}

// reload swaps the configuration for the YAML under it: the whole, or with `reload site` and `reload cache` as those
// statements say it. `reload refused` wants it refused and the old one kept.
func (p *scriptParser) reload(b statement) error {
	words := strings.Fields(b.text)[1:]
	refused := len(words) > 0 && words[0] == "refused"
	if refused {
		words = words[1:]
	}
	c := configText{origins: p.config.origins, disk: p.config.disk}
	to, ok := map[string]*[]string{"": &c.full, "site": &c.site, "cache": &c.cache}[strings.Join(words, " ")]
	if !ok {
		return fmt.Errorf("%q: want reload, then perhaps refused, then perhaps site or cache", b.text)
	}
	*to = yamlLines(b)
	p.add(b, func(s *stage) error {
		config := c.compose(s.mode, s.log.file)
		err := s.node.reload(config)
		switch {
		case refused && err == nil:
			return fmt.Errorf("reload = nil, want it refused")
		case !refused && err != nil:
			return fmt.Errorf("reload: %w", err)
		case !refused:
			s.config = config
		}
		return nil
	})
	return nil
}
