package fs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// threadGroup is the process that a thread belongs to; 0 when it cannot be seen from here.
func threadGroup(thread uint32) uint32 {
	if thread == 0 {
		return 0
	}
	ids := statusIDs(thread, "Tgid:")
	if len(ids) == 0 {
		return 0
	}
	return ids[0]
}

// statusIDs are the numbers in a line of /proc/PID/status.
func statusIDs(thread uint32, field string) (ids []uint32) {
	status, err := readStatus(thread)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte(field))
		if !ok {
			continue
		}
		for _, word := range bytes.Fields(rest) {
			id, err := strconv.ParseUint(string(word), 10, 32)
			if err != nil {
				return nil
			}
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// statusSize is more than /proc/PID/status has, as a rule.
const statusSize = 4096

// readStatus reads /proc/PID/status by four system calls: a file of package os would be a dozen, for its size and its
// place in the poller, and this is done for each file that is written.
func readStatus(thread uint32) ([]byte, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/status", thread), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // read only
	status := make([]byte, 0, statusSize)
	for {
		n, err := unix.Read(fd, status[len(status):cap(status)])
		if err != nil || n == 0 {
			return status, err
		}
		if status = status[:len(status)+n]; len(status) < cap(status) {
			continue // the kernel says by nothing that this was all
		}
		status = slices.Grow(status, len(status))
	}
}

// Bits of a mode for one of owner, group and others.
const (
	mayWrite = 0o2
	ownBits  = 6 // where the owner's are, and the group's
	grpBits  = 3
)

// mayChange tells whether who makes a request may write to a node: to a file, or to the names in a directory. The
// kernel checks it by itself where it checks modes at all, which costs reading more (see [Config.refuses]).
func (f *fileSystem) mayChange(h *fuse.InHeader, n *node) bool {
	if f.checked || h.Uid == 0 {
		return true
	}
	a := f.attributes(n)
	switch {
	case h.Uid == a.Uid:
		return a.Mode>>ownBits&mayWrite != 0
	case h.Gid == a.Gid, slices.Contains(statusIDs(h.Pid, "Groups:"), a.Gid):
		return a.Mode>>grpBits&mayWrite != 0
	}
	return a.Mode&mayWrite != 0
}

// owns tells whether who makes a request may change a node's mode, owner and times.
func (f *fileSystem) owns(h *fuse.InHeader, n *node) bool {
	return f.checked || h.Uid == 0 || h.Uid == f.attributes(n).Uid
}

// changeable finds the directory in which a request is to change a name; the status says why that cannot be.
func (f *fileSystem) changeable(h *fuse.InHeader, id uint64, name string) (*node, fuse.Status) {
	dir := f.nodes.get(id)
	switch {
	case dir == nil:
		return nil, fuse.Status(syscall.ESTALE)
	case f.cfg.Uploads == nil:
		return nil, fuse.EROFS
	case !dir.dir:
		return nil, fuse.ENOTDIR
	case dir.volume == nil: // the list of buckets
		return nil, fuse.EPERM
	case len(name) > maxName:
		return nil, fuse.Status(syscall.ENAMETOOLONG)
	case !f.mayChange(h, dir):
		return nil, fuse.EACCES
	}
	return dir, fuse.OK
}
