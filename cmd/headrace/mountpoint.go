package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/moby/sys/mountinfo"
)

// fuseType is the file system type under which the kernel lists our mounts.
const fuseType = "fuse.headrace"

// mountAt finds the topmost mount at dir, which must be absolute and clean; nil when dir is no mount point. It reads
// the kernel's table and never touches dir, so it does not hang or fail on a dead mount.
func mountAt(dir string) (*mountinfo.Info, error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != dir, false })
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	return mounts[len(mounts)-1], nil // the table is in the order of mounting
}

// maxLinks is how many symbolic links in a row are followed: as many as the kernel follows.
const maxLinks = 40

// resolveMountpoint is the absolute path of dir as the kernel's table has it: links above it are followed, and dir
// itself if it is one, but where that leads is not touched, since it may be the root of a dead mount.
func resolveMountpoint(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		if absolute == "/" {
			return absolute, nil
		}
		parent, err := filepath.EvalSymlinks(filepath.Dir(absolute))
		if err != nil {
			return "", err
		}
		absolute = filepath.Join(parent, filepath.Base(absolute))
		target, err := os.Readlink(absolute) // which does not enter a mount
		if err != nil {
			return absolute, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		absolute = filepath.Clean(target)
	}
	return "", &os.PathError{Op: "resolve", Path: dir, Err: syscall.ELOOP}
}

// checkMountpoint tells whether something can be mounted at dir, and returns dir as the kernel will list it.
func checkMountpoint(dir string) (string, error) {
	resolved, err := resolveMountpoint(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", fail(exitMountpoint, err, "%s does not exist: create it with `mkdir -p %s`", dir, dir)
	}
	if err != nil {
		return "", fail(exitMountpoint, err, "cannot use %s: %v", dir, err)
	}
	mounted, err := mountAt(resolved)
	if err != nil {
		return "", fail(exitFailure, err, "cannot read the list of mounts: %v", err)
	}
	info, err := os.Lstat(resolved)
	switch {
	case errors.Is(err, syscall.ENOTCONN):
		return "", fail(exitMountpoint, err, "%s has a mount on it whose process is dead: remove it with `headrace umount %s`", dir, dir)
	case mounted != nil && mounted.FSType == fuseType:
		return "", fail(exitMountpoint, nil, "%s is mounted already, with %s: `headrace umount %s` unmounts it", dir, mounted.Source, dir)
	case errors.Is(err, os.ErrNotExist):
		return "", fail(exitMountpoint, err, "%s does not exist: create it with `mkdir -p %s`", dir, dir)
	case err != nil:
		return "", fail(exitMountpoint, err, "cannot use %s: %v", dir, err)
	case !info.IsDir():
		return "", fail(exitMountpoint, nil, "%s is not a directory: mount on an empty directory", dir)
	}
	return resolved, checkEmpty(dir, resolved)
}

func checkEmpty(dir, resolved string) error {
	d, err := os.Open(resolved)
	if err != nil {
		return fail(exitMountpoint, err, "cannot use %s: %v", dir, err)
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); {
	case err == nil:
		return fail(exitMountpoint, nil, "%s is not empty: a mount would hide what is in it; mount on an empty directory", dir)
	case !errors.Is(err, io.EOF):
		return fail(exitMountpoint, err, "cannot read %s: %v", dir, err)
	}
	return nil
}

// checkFUSE tells whether this process has a chance to mount at all, so that the user hears what is missing and not
// which system call failed.
func checkFUSE(device string, uid int, lookPath func(string) (string, error)) error {
	if _, err := os.Stat(device); err != nil {
		return fail(exitFUSE, err, "%s is not there: load the module with `modprobe fuse`; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN", device)
	}
	if uid == 0 {
		return nil
	}
	if _, err := lookPath("fusermount3"); err != nil {
		return fail(exitFUSE, err, "users other than root need fusermount3 to mount: install the package fuse3")
	}
	return nil
}
