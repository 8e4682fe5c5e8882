package main

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
)

// files makes a file system of paths and contents.
func files(pairs ...string) fs.FS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

func TestCgroupLimit(t *testing.T) {
	for _, row := range []struct {
		what string
		root fs.FS
		want int64
	}{
		{"no cgroups", files(), math.MaxInt64},
		{"version 2", files(
			"proc/self/cgroup", "0::/system.slice/selvage.service\n",
			"sys/fs/cgroup/system.slice/selvage.service/memory.max", "1073741824\n"), 1 << 30},
		{"version 2, a slice above is tighter", files(
			"proc/self/cgroup", "0::/system.slice/selvage.service\n",
			"sys/fs/cgroup/system.slice/memory.max", "536870912\n",
			"sys/fs/cgroup/system.slice/selvage.service/memory.max", "1073741824\n"), 512 << 20},
		{"version 2, no limit", files(
			"proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "max\n"), math.MaxInt64},
		{"version 2 in a container: its own group is the root it sees", files(
			"proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "268435456\n"), 256 << 20},
		{"version 2, a path that leads outside the mount", files(
			"proc/self/cgroup", "0::/../../other\n", "sys/fs/cgroup/memory.max", "268435456\n"), 256 << 20},
		{"version 1", files(
			"proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n1:name=systemd:/\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "134217728\n"), 128 << 20},
		{"version 1 in a container: the path is the host's", files(
			"proc/self/cgroup", "5:memory:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"), 128 << 20},
		{"version 1, no limit", files(
			"proc/self/cgroup", "5:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), math.MaxInt64},
		{"both, memory in version 1", files(
			"proc/self/cgroup", "5:memory:/a\n0::/a\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes", "134217728\n"), 128 << 20},
		{"garbage", files("proc/self/cgroup", ":::\n\nx\n", "sys/fs/cgroup/memory.max", "lots"), math.MaxInt64},
	} {
		if got := cgroupLimit(row.root); got != row.want {
			t.Errorf("%s: limit = %d, want %d", row.what, got, row.want)
		}
	}
}

func TestInstalledMemory(t *testing.T) {
	for _, row := range []struct {
		meminfo string
		want    int64
	}{
		{"MemTotal:       16303148 kB\nMemFree: 1 kB\n", 16303148 << 10},
		{"MemFree: 1 kB\nMemTotal: 4 kB\n", 4 << 10},
		{"MemTotal: many kB\n", math.MaxInt64},
		{"", math.MaxInt64},
	} {
		if got := installedMemory(files("proc/meminfo", row.meminfo)); got != row.want {
			t.Errorf("installedMemory(%q) = %d, want %d", row.meminfo, got, row.want)
		}
	}
}

func TestMemorySizes(t *testing.T) {
	if got := goMemoryLimit(1000 << 20); got != 900<<20 {
		t.Errorf("goMemoryLimit(1000MiB) = %s, want 900MiB", formatSize(got))
	}
	for _, row := range []struct{ limit, want int64 }{
		{2 << 20, minMemory}, {256 << 20, 64 << 20}, {8 << 30, 2 << 30}, {64 << 30, 4 << 30}, {math.MaxInt64, 256 << 20},
	} {
		if got := defaultMemory(row.limit); got != row.want {
			t.Errorf("defaultMemory(%s) = %s, want %s", formatSize(row.limit), formatSize(got), formatSize(row.want))
		}
	}
}

// TestDescriptorLimitIsRaised: package os raises the soft limit to the hard one before main begins. We rely on it.
func TestDescriptorLimitIsRaised(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur != limit.Max && limit.Cur < 10240 { // macOS stops at kern.maxfilesperproc, OPEN_MAX at the least
		t.Errorf("descriptor limit = %d, want the hard limit of %d", limit.Cur, limit.Max)
	}
}

// TestReadBounded: a file is read whole, and a huge one only as far as to see that.
func TestReadBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, tt := range []struct{ size, want int64 }{{0, 0}, {10, 10}, {maxFileBytes, maxFileBytes}, {1 << 33, maxFileBytes + 1}} {
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, tt.size)); err != nil {
			t.Fatal(err)
		}
		if got, err := readBounded(name); int64(len(got)) != tt.want || err != nil {
			t.Errorf("of %d bytes: read %d (%v), want %d", tt.size, len(got), err, tt.want)
		}
	}
	if _, err := readBounded(name + "-missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
