package fs

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// device is the connection to the kernel behind one mount. The protocol library owns the descriptor that it reads and
// writes; this keeps a second one of the same connection, by which it can be asked whether the connection still lives.
type device struct {
	fd    int // the library's from the moment it is told
	watch int
}

// newDevice takes fd over.
func newDevice(fd int) (*device, error) {
	watch, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fs: cannot duplicate the FUSE descriptor: %w", err), unix.Close(fd))
	}
	return &device{fd: fd, watch: watch}, nil
}

// path is how the protocol library wants to be told of a mount that somebody else made.
func (d *device) path() string { return "/dev/fd/" + strconv.Itoa(d.fd) }

// dead tells whether the kernel has ended the connection. It never blocks. It must not be called after close.
func (d *device) dead() bool {
	fds := []unix.PollFd{{Fd: int32(d.watch)}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}

func (d *device) close() error { return unix.Close(d.watch) }

// attach mounts at dir: by itself where the kernel lets it, as it lets root, and else through fusermount3.
// checked has the kernel check modes.
func attach(dir string, opts MountOptions, checked bool) (*device, error) {
	fd, err := mountDirectly(dir, opts, checked)
	if errors.Is(err, os.ErrPermission) {
		helper, found := findFusermount()
		if !found {
			return nil, errors.Join(err, ErrNoFusermount)
		}
		fd, err = mountByHelper(helper, dir, opts, checked)
	}
	if err != nil {
		return nil, err
	}
	return newDevice(fd)
}

// mountDirectly opens the device and calls mount(2).
func mountDirectly(dir string, opts MountOptions, checked bool) (fd int, err error) {
	fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("fs: open /dev/fuse: %w (%w)", ErrNoFUSE, err)
	case err != nil:
		return -1, fmt.Errorf("fs: open /dev/fuse: %w", err)
	}
	options := []string{
		fmt.Sprintf("fd=%d", fd),
		fmt.Sprintf("rootmode=%o", syscall.S_IFDIR),
		fmt.Sprintf("user_id=%d", os.Geteuid()),
		fmt.Sprintf("group_id=%d", os.Getegid()),
		fmt.Sprintf("max_read=%d", requestSize),
	}
	options = append(options, accessOptions(opts, checked)...)
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if opts.readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(opts.FSName, dir, fsType, flags, strings.Join(options, ",")); err != nil {
		return -1, errors.Join(fmt.Errorf("fs: mount on %s: %w", dir, err), unix.Close(fd))
	}
	return fd, nil
}

// accessOptions are the mount options that say who may do what.
func accessOptions(opts MountOptions, checked bool) (options []string) {
	if opts.AllowOther {
		options = append(options, "allow_other")
	}
	if checked {
		options = append(options, "default_permissions")
	}
	return options
}
