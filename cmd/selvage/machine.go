package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// machine is what the file format needs to know of where it is read.
type machine struct {
	env         func(name string) (value string, ok bool)
	read        func(name string) ([]byte, error)
	glob        func(pattern string) ([]string, error)
	memoryLimit int64 // what this process may use, in bytes; math.MaxInt64 when nobody knows
}

func thisMachine() machine {
	return machine{env: os.LookupEnv, read: readBounded, glob: filepath.Glob, memoryLimit: limitMemory()}
}

// readBounded reads a file, but of one that is too large no more than shows it: the name may be that of a disk image.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// secret reads what the configuration only points at: env:NAME or file:/path. Its errors do not hold what was configured: it
// may be the secret itself, put in the wrong place.
func (m machine) secret(at string) (string, error) {
	kind, where, _ := strings.Cut(at, ":")
	switch kind {
	case "env":
		text, ok := m.env(where)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", where)
		}
		return text, nil
	case "file":
		text, err := m.read(where)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		return string(text), nil
	}
	return "", errors.New("is not where a secret is; write env:NAME or file:/path, never the secret itself")
}

// limitMemory sets the runtime's memory limit from the cgroup, unless GOMEMLIMIT is set, and returns what this process may
// use: that limit, else the machine's memory.
func limitMemory() int64 {
	root := os.DirFS("/")
	if limit := cgroupLimit(root); os.Getenv("GOMEMLIMIT") == "" && limit < math.MaxInt64 {
		debug.SetMemoryLimit(goMemoryLimit(limit))
	}
	return min(debug.SetMemoryLimit(-1), installedMemory(root))
}

// memoryIsLimited reports whether the runtime keeps to a limit.
func memoryIsLimited() bool { return debug.SetMemoryLimit(-1) < math.MaxInt64 }

// goMemoryLimit is what the Go runtime may use of a cgroup's limit: the rest is for what it does not count, such as socket
// buffers and page cache.
func goMemoryLimit(cgroup int64) int64 { return cgroup / 10 * 9 }

// cgroupLimit returns the lowest memory limit of this process's cgroup and those above it, in bytes; math.MaxInt64 when
// there is none. Version 2 is asked first, then version 1.
func cgroupLimit(root fs.FS) int64 {
	limit := int64(math.MaxInt64)
	membership, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return limit
	}
	for line := range bytes.Lines(membership) {
		// hierarchy-ID:controller-list:cgroup-path, see cgroups(7)
		_, rest, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch {
		case controllers == "":
			limit = min(limit, lowestLimit(root, "sys/fs/cgroup", group, "memory.max"))
		case hasController(controllers, "memory"):
			limit = min(limit, lowestLimit(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	return limit
}

func hasController(list, name string) bool {
	for controller := range strings.SplitSeq(list, ",") {
		if controller == name {
			return true
		}
	}
	return false
}

// lowestLimit walks from group up to the mount: each level may limit, and in a container the upper ones may not be there.
func lowestLimit(root fs.FS, mount, group, file string) int64 {
	limit := int64(math.MaxInt64)
	for dir := path.Join(mount, path.Clean("/"+group)); ; dir = path.Dir(dir) {
		if text, err := fs.ReadFile(root, path.Join(dir, file)); err == nil {
			// "max" in version 2 does not parse; version 1 says 2^63 less a page, which nobody has
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && n < 1<<60 {
				limit = min(limit, n)
			}
		}
		if dir == mount {
			return limit
		}
	}
}

// installedMemory is MemTotal of /proc/meminfo, in bytes; math.MaxInt64 where there is no such file.
func installedMemory(root fs.FS) int64 {
	f, err := root.Open("proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil && kib > 0 && kib < 1<<50 {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}
