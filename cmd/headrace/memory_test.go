package main

import (
	"testing"
	"testing/fstest"
)

func TestDefaultMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const host = "MemFree: 1 kB\nMemTotal:       16777216 kB\n" // 16 GiB
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"host":          {fstest.MapFS{"proc/meminfo": file(host)}, 2 * gib},
		"small host":    {fstest.MapFS{"proc/meminfo": file("MemTotal: 2097152 kB\n")}, 512 * mib},
		"tiny host":     {fstest.MapFS{"proc/meminfo": file("MemTotal: 65536 kB\n")}, 32 * mib},
		"nothing known": {fstest.MapFS{}, 256 * mib},
		"version 2": {fstest.MapFS{
			"proc/meminfo": file(host), "proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("4294967296\n"), "sys/fs/cgroup/a/memory.max": file("max\n"),
		}, gib},
		"version 2, the limit above is smaller": {fstest.MapFS{
			"proc/meminfo": file(host), "proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("max\n"), "sys/fs/cgroup/a/memory.max": file("536870912\n"),
		}, 128 * mib},
		"version 2, the host's path inside a container": {fstest.MapFS{
			"proc/meminfo": file(host), "proc/self/cgroup": file("0::/kubepods/pod1\n"),
			"sys/fs/cgroup/memory.max": file("1073741824\n"),
		}, 256 * mib},
		"version 1": {fstest.MapFS{
			"proc/meminfo": file(host), "proc/self/cgroup": file("11:cpu,cpuacct:/x\n9:memory:/a\n"),
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": file("1073741824\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   file("9223372036854771712\n"),
		}, 256 * mib},
	} {
		if got := defaultMemory(c.root); int64(got) != c.want {
			t.Errorf("%s: got %s, want %d MiB", name, got.String(), c.want/mib)
		}
	}
}
