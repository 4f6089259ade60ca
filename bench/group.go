package bench

import (
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is where a version of control groups says what memory a group may use, and uses; see cgroups(7).
type hierarchy struct{ mount, limit, usage string }

// groupFree is how many bytes this process's control group, and each group above it, may still use; math.MaxInt64
// without a limit. The page cache counts as used, although the kernel would rather drop it than kill. root is the file
// system's root.
func groupFree(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return math.MaxInt64
	}
	free := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// "0::/a/b" is version 2; "9:memory:/a/b" is version 1.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0" && fields[1] == "":
			free = min(free, hierarchy{"sys/fs/cgroup", "memory.max", "memory.current"}.free(root, fields[2]))
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			free = min(free, hierarchy{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"}.free(root, fields[2]))
		}
	}
	return free
}

// free is the least that a group, from this one up to the top of the hierarchy, may still use. Inside a container the
// path may be that of the host, which is not there; the top is then the container's own.
func (h hierarchy) free(root fs.FS, group string) int64 {
	free := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		limit, limited := readBytes(root, path.Join(h.mount, dir, h.limit))
		used, known := readBytes(root, path.Join(h.mount, dir, h.usage))
		if limited && known {
			free = min(free, max(limit-used, 0))
		}
		if dir == "/" {
			return free
		}
	}
}

// readBytes reads a file that holds one number. It is none where there is no such file, nor where version 2 says "max".
func readBytes(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
