package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

const (
	minMemory = 32 * mib // two chunks of 16 MiB: one being read and one being filled
	maxMemory = 2 * gib  // more than this is taken only when asked for

	// gcPercent makes the collector begin when the heap is half again its live size. The heap is small, since data is not
	// in it, so collections stay rare (9 a second at 25,000 reads a second) and the process stays near what is live.
	gcPercent = 50
)

// boundHeap sets the collector's percentage, unless the environment does. There is no memory limit (GOMEMLIMIT) on
// purpose: the heap is mostly read buffers of go-fuse, one of a request's size for each request under way, and nobody
// writes into them because replies come from the arena. They are address space rather than memory, but a limit would
// count them: with 256 readers a limit of 110 MiB cost four times the CPU in collections and saved nothing.
func boundHeap(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// defaultMemory is a quarter of what this process may use (its control group's limit, else the host's memory), at least
// 32 MiB and at most 2 GiB. root is the file system's root.
func defaultMemory(root fs.FS) size {
	available := min(groupLimit(root), hostMemory(root))
	return size(max(minMemory, min(maxMemory, available/4)/mib*mib))
}

// hostMemory is MemTotal of /proc/meminfo in bytes, or a modest guess where it cannot be read.
func hostMemory(root fs.FS) int64 {
	const guess = 1 * gib
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return guess
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return n * kib
		}
	}
	return guess
}

// groupLimit is the smallest memory limit of this process's control group and the groups above it, in either hierarchy,
// in bytes; math.MaxInt64 when there is none.
func groupLimit(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return math.MaxInt64
	}
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// "0::/a/b" is version 2; "9:memory:/a/b" is version 1.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch controllers := strings.Split(fields[1], ","); {
		case fields[0] == "0" && fields[1] == "":
			limit = min(limit, limitAbove(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case slices.Contains(controllers, "memory"):
			limit = min(limit, limitAbove(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return limit
}

// limitAbove is the smallest limit in the file called name from group up to the top of the hierarchy mounted at mount.
// Inside a container the group's path may be that of the host, which is not there; the top is then the container's own.
func limitAbove(root fs.FS, mount, group, name string) int64 {
	limit := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(mount, dir, name))
		if err == nil {
			// Version 2 writes "max" for no limit, version 1 a number near 2^63.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				limit = min(limit, n)
			}
		}
		if dir == "/" {
			return limit
		}
	}
}
