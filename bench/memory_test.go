package bench

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// files is a file system of text files.
func files(content map[string]string) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, text := range content {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestGroupFree(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups": {nil, math.MaxInt64},
		"version 2, a pod of 1 GiB": {map[string]string{
			"proc/self/cgroup":                   "0::/pod/main\n",
			"sys/fs/cgroup/pod/main/memory.max":  "max\n",
			"sys/fs/cgroup/pod/memory.max":       "1073741824\n",
			"sys/fs/cgroup/pod/memory.current":   "73741824\n",
			"sys/fs/cgroup/other/memory.max":     "1\n",
			"sys/fs/cgroup/other/memory.current": "1\n",
		}, 1e9},
		"version 2, over its limit": {map[string]string{
			"proc/self/cgroup":             "0::/\n",
			"sys/fs/cgroup/memory.max":     "1000\n",
			"sys/fs/cgroup/memory.current": "1001\n",
		}, 0},
		"version 2, no limit": {map[string]string{
			"proc/self/cgroup":             "0::/\n",
			"sys/fs/cgroup/memory.max":     "max\n",
			"sys/fs/cgroup/memory.current": "1001\n",
		}, math.MaxInt64},
		"version 1, a container that sees the host's path": {map[string]string{
			"proc/self/cgroup":                           "9:cpu,memory:/docker/abc\n8:pids:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "2000\n",
		}, 3000},
		"not understood": {map[string]string{"proc/self/cgroup": "x\n\n::\n"}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			if got := groupFree(files(c.files)); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestPopulate(t *testing.T) {
	mem := make([]byte, 2*claimStep+1)
	total := 0
	err := populate(t.Context(), mem, func(part []byte, advice int) error {
		if advice != unix.MADV_POPULATE_WRITE {
			t.Errorf("advice %d", advice)
		}
		total += len(part)
		return nil
	})
	if err != nil || total != len(mem) {
		t.Errorf("%d of %d, %v", total, len(mem), err)
	}

	// A kernel that does not know the advice ends no benchmark; one that has no memory does, and so does the context.
	if err := populate(t.Context(), mem, func([]byte, int) error { return unix.EINVAL }); err != nil {
		t.Error(err)
	}
	if err := populate(t.Context(), mem, func([]byte, int) error { return unix.ENOMEM }); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := populate(ctx, mem, func([]byte, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
