package encode

import (
	"fmt"
	"slices"
)

// Config is the `compress:` section of a site or a route. The zero value is not useful: start from DefaultConfig.
type Config struct {
	// Enabled: false sends every body as the origin sent it.
	Enabled bool `yaml:"enabled"`
	// Order holds the codings that are made, the best first: br, zstd, gzip. It decides where a client likes several the same.
	Order []string `yaml:"order"`
	// Types are the media types worth encoding: "text/html", "text/*", "*+json".
	Types []string `yaml:"types"`
	// MinSize and MaxSize bound the bodies that are encoded. One whose length nobody knows while it streams is encoded, and then
	// kept encoded only within them.
	MinSize int64 `yaml:"min_size" unit:"bytes"`
	MaxSize int64 `yaml:"max_size" unit:"bytes"`
	// Dynamic says which responses that are not stored are encoded on their way: none, all, or anonymous, those without
	// Set-Cookie to requests without Authorization and Cookie. What carries a secret beside text of an attacker's choice betrays
	// the secret by its length (BREACH).
	Dynamic string `yaml:"dynamic" enum:"none,anonymous,all"`
	// Dictionary sends what has changed since a version that the client has.
	Dictionary DictionaryConfig `yaml:"dictionary"`
}

// DictionaryConfig is about deltas (RFC 9842).
type DictionaryConfig struct {
	// Enabled offers stored responses as dictionaries and answers with deltas to them.
	Enabled bool `yaml:"enabled"`
	// Match holds paths, with * for any text, whose responses are dictionaries for each other: "/assets/app-*.js",
	// "/app/*/main.js". The longest that matches is taken, before what the names of files tell.
	Match []string `yaml:"match"`
	// Names lets names with a version or a fingerprint tell by themselves: /app.4f3a.js is a dictionary for /app.*.js.
	Names bool `yaml:"names"`
}

// WorkshopConfig is the `compress:` section of the node: what the work in the background may take.
type WorkshopConfig struct {
	// CPU is the share of one processor that it gets, in percent.
	CPU int `yaml:"cpu"`
	// Queue bounds the bodies that wait. Beyond it they stay as they are until they are asked for again.
	Queue int `yaml:"queue"`
}

// DefaultConfig is what `compress: {}` means.
func DefaultConfig() Config {
	return Config{
		Enabled:    true,
		Order:      []string{"br", "zstd", "gzip"},
		Types:      Types(),
		MinSize:    512,
		MaxSize:    8 << 20,
		Dynamic:    "anonymous",
		Dictionary: DictionaryConfig{Enabled: true, Names: true},
	}
}

// DefaultWorkshopConfig is what a node has that says nothing.
func DefaultWorkshopConfig() WorkshopConfig { return WorkshopConfig{CPU: 50, Queue: 1024} }

// Codings returns Order as codings.
func (c *Config) Codings() []Coding {
	all := make([]Coding, 0, len(c.Order))
	for _, token := range c.Order {
		if coding, ok := Named(token); ok {
			all = append(all, coding)
		}
	}
	return all
}

// Wants reports whether a body of this type and length is worth encoding at all; -1 is an unknown length.
func (c *Config) Wants(contentType string, length int64) bool {
	return c.Enabled && (length < 0 || length >= c.MinSize) && wantsType(c.Types, contentType)
}

// Keeps reports whether a body that Wants wants is encoded for keeps.
func (c *Config) Keeps(length int64) bool { return length >= c.MinSize && length <= c.MaxSize }

// Streams reports whether a response that is not stored may be encoded on its way.
func (c *Config) Streams(setCookie, authorization bool) bool {
	return c.Enabled && (c.Dynamic == "all" || c.Dynamic == "anonymous" && !setCookie && !authorization)
}

// maxSize is the largest max_size: bodies that are encoded for keeps are in memory as a whole, plain and encoded.
const maxSize = 64 << 20

// Validate reports every problem of c, with the path of the value in c and a hint.
func (c Config) Validate(report func(path, problem, hint string)) {
	c.validateOrder(report)
	for i, t := range c.Types {
		if !isTypePattern(t) {
			report(fmt.Sprintf("types[%d]", i), fmt.Sprintf("%q is no media type", t), `"text/html", "text/*" or "*+json"`)
		}
	}
	if c.MinSize < 0 {
		report("min_size", "negative", "0 encodes whatever there is")
	}
	if c.MaxSize < c.MinSize || c.MaxSize > maxSize {
		report("max_size", "not from min_size to 64MiB", "max_size: 8MiB")
	}
	switch c.Dynamic {
	case "none", "anonymous", "all":
	default:
		report("dynamic", fmt.Sprintf("%q is unknown", c.Dynamic), "none, anonymous or all")
	}
	for i, m := range c.Dictionary.Match {
		if _, err := ParsePattern(m); err != nil {
			report(fmt.Sprintf("dictionary.match[%d]", i), err.Error(), "/assets/app-*.js")
		}
	}
}

func (c Config) validateOrder(report func(path, problem, hint string)) {
	if len(c.Order) == 0 {
		report("order", "names no coding", "enabled: false sends bodies as they are")
	}
	var seen []Coding
	for i, token := range c.Order {
		path := fmt.Sprintf("order[%d]", i)
		switch coding, ok := Named(token); {
		case !ok || coding < Gzip || coding > Zstd:
			report(path, fmt.Sprintf("%q is no coding that is made", token), "br, zstd or gzip")
		case slices.Contains(seen, coding):
			report(path, coding.String()+" is there twice", "name each coding once")
		default:
			seen = append(seen, coding)
		}
	}
}

// Validate reports every problem of c, with the path of the value in c and a hint.
func (c WorkshopConfig) Validate(report func(path, problem, hint string)) {
	if c.CPU < 1 || c.CPU > 100 {
		report("cpu", "not from 1 to 100 percent", "cpu: 50")
	}
	if c.Queue < 1 || c.Queue > 1e6 {
		report("queue", "not from 1 to 1000000", "queue: 1024")
	}
}
