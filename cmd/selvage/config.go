package main

import (
	"fmt"
	"math"
	"time"

	"selvage/cache"
	"selvage/edge"
	"selvage/encode"
	"selvage/origin"
	"selvage/purge"
	"selvage/tlsmgr"
)

// fileVersion is the only version of the file format there is.
const fileVersion = 1

// File is the configuration file: the rooms' own Configs, composed. What a key means stands beside the field it fills.
//
// A section starts from its room's defaults; a section inside another of its kind (a route's `cache:` in a site with one)
// starts from the outer one. A list that is given replaces the default list; a map adds to it.
type File struct {
	Version int `yaml:"version"`
	// Memory is the size of the memory tier. Default: a quarter of the memory limit, at most 4 GiB. More than half of the
	// limit is refused, because responses in flight, connections and the garbage collector live in the other half.
	Memory int64 `yaml:"memory" unit:"bytes"`
	// Disk is a second tier below memory, which survives restarts.
	Disk cache.DiskConfig `yaml:"disk"`
	// Compress is what the making of codings may take, for all sites together.
	Compress encode.WorkshopConfig `yaml:"compress"`
	// Include names more files, as patterns relative to this one. They hold `origins:` and `sites:` only.
	Include []string                 `yaml:"include"`
	Origins map[string]origin.Config `yaml:"origins"`
	Admin   AdminConfig              `yaml:"admin"`
	Purge   purge.Config             `yaml:"purge"`
	TLS     tlsmgr.Config            `yaml:"tls"`
	Sites   []siteConfig             `yaml:"sites"` // in place of edge.Config's: see edgeConfig
	edge.Config
}

// fragment is an included file.
type fragment struct {
	Origins map[string]origin.Config `yaml:"origins"`
	Sites   []siteConfig             `yaml:"sites"`
}

// AdminConfig says where the admin endpoints listen.
type AdminConfig struct {
	// Socket is the path of a unix socket. Default: admin.sock in $RUNTIME_DIRECTORY, else in /run/selvage, else in a
	// folder of the user's own.
	Socket string `yaml:"socket"`
	// Address is a TCP address for the same endpoints. It needs Token, or one of the purge section, which is good there for
	// purges alone.
	Address string `yaml:"address"`
	// Token is where the bearer token is, env:NAME or file:/path, or its hash, sha256:HEX. Never the token itself.
	Token string `yaml:"token" secret:"true"`
	// Hosts are further Host names under which Address may be called; loopback names and the address itself always may.
	Hosts []string `yaml:"hosts"`
	// Health is a TCP address that answers /livez and /readyz to everybody, and nothing else.
	Health string `yaml:"health"`
}

// DefaultFile is a file that says nothing.
func DefaultFile() File {
	return File{
		Version: fileVersion, Compress: encode.DefaultWorkshopConfig(), TLS: tlsmgr.DefaultConfig(), Config: edge.DefaultConfig(),
	}
}

// Bounds of the memory tier.
const (
	minMemory        = 1 << 20
	maxDefaultMemory = 4 << 30
)

// defaultMemory is the size of the memory tier when the file names none. Where the memory limit is unknown it is what any
// machine has.
func defaultMemory(limit int64) int64 {
	if limit == math.MaxInt64 {
		return 256 << 20
	}
	return max(minMemory, min(limit/4, maxDefaultMemory))
}

// validate reports what is wrong with a file whose every key was understood. Paths are dotted, as in the file.
func (f *File) validate(m machine, report func(path, problem, hint string)) {
	switch f.Version {
	case fileVersion:
	case 0:
		report("version", "is missing", "write version: 1 at the top")
	default:
		report("version", fmt.Sprintf("%d is not a version of this format", f.Version), "write version: 1")
	}
	f.validateMemory(m, report)
	f.Disk.Validate(below("disk", report))
	f.Compress.Validate(below("compress", report))
	origins := make(map[string]bool)
	for name, o := range f.Origins {
		origins[name] = true
		o.Validate(below("origins."+name, report))
	}
	f.edgeConfig().Validate(origins, report)
	f.validateSites(m, report)
	f.validateCarriage(report)
	f.TLS.Validate(below("tls", report))
	f.Admin.validate(m, len(f.Purge.Tokens) > 0, below("admin", report))
	f.Purge.Validate(f.edgeConfig().SiteNames(), m.secret, below("purge", report))
}

// below makes paths relative to a section into paths of the file.
func below(section string, report func(path, problem, hint string)) func(path, problem, hint string) {
	return func(path, problem, hint string) {
		if path == "" {
			report(section, problem, hint)
			return
		}
		report(section+"."+path, problem, hint)
	}
}

func (f *File) validateMemory(m machine, report func(path, problem, hint string)) {
	switch half := m.memoryLimit / 2; {
	case f.Memory < minMemory:
		report("memory", "the memory tier is smaller than 1MiB", "")
	case f.Memory > half && m.memoryLimit != math.MaxInt64:
		report("memory", fmt.Sprintf("%s is more than half of the memory limit of %s", formatSize(f.Memory), formatSize(m.memoryLimit)),
			fmt.Sprintf("at most %s, or raise the limit (GOMEMLIMIT, or the cgroup's)", formatSize(half)))
	}
}

// startingPoints are the values that sections start from, by type.
func startingPoints() []any {
	return []any{
		cache.DefaultConfig(), encode.DefaultConfig(), origin.DefaultConfig(), purge.DefaultTokenConfig(), origin.DefaultUpstream(),
		edge.DefaultStream(),
	}
}

// maxDuration keeps sums of durations far from overflow.
const maxDuration = 100 * 365 * 24 * time.Hour
