package fs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// mountInfo is what the kernel's table says of one mount.
type mountInfo struct {
	dir          string
	major, minor int // the device number: names the mount below /sys
	owner        int // user id of who mounted, -1 when unknown
}

// findMount finds the topmost mount of ours at dir, which is absolute. It reads the table and never touches dir, so it
// works for dead mounts and from within the process that serves them. ErrNotMounted when there is none.
func findMount(dir string) (mountInfo, error) {
	elsewhere := func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != dir, false }
	mounts, err := mountinfo.GetMounts(elsewhere)
	if err != nil {
		return mountInfo{}, fmt.Errorf("fs: cannot read the table of mounts: %w", err)
	}
	// In the order of mounting: the last one is on top, and what is below it cannot be reached.
	if len(mounts) == 0 || mounts[len(mounts)-1].FSType != fsType {
		return mountInfo{}, fmt.Errorf("fs: %s: %w", dir, ErrNotMounted)
	}
	m := mounts[len(mounts)-1]
	return mountInfo{dir: dir, major: m.Major, minor: m.Minor, owner: ownerOf(m.VFSOptions)}, nil
}

// ownerOf finds who mounted among a mount's options.
func ownerOf(options string) int {
	for option := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(option, "user_id="); ok {
			if id, err := strconv.Atoi(value); err == nil {
				return id
			}
		}
	}
	return -1
}
