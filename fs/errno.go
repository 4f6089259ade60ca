package fs

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
)

// errStale is a version that its name does not mean any more.
var errStale = errors.New("the name means another version now")

// errnoTable is the one place where an error becomes an errno. The first line that matches counts: the finer errors of
// objstore also match the broader ones they belong to, and have no line of their own unless they differ.
var errnoTable = []struct {
	err   error
	errno syscall.Errno
}{
	{objstore.ErrNotExist, syscall.ENOENT},
	{objstore.ErrPermission, syscall.EACCES}, // credentials, clock skew, archived objects and those with SSE-C too
	{errStale, syscall.ESTALE},
	{objstore.ErrChanged, syscall.ESTALE},
	{objstore.ErrExists, syscall.EEXIST},
	{objstore.ErrQuota, syscall.EDQUOT},
	{objstore.ErrInvalid, syscall.EINVAL},
	{objstore.ErrUnsupported, syscall.ENOTSUP},
	{objstore.ErrTimeout, syscall.ETIMEDOUT},
	{context.DeadlineExceeded, syscall.ETIMEDOUT},
	{context.Canceled, syscall.EINTR},
	{objstore.ErrThrottled, syscall.EIO}, // after all retries
	{objstore.ErrConflict, syscall.EIO},  // after all retries
	{objstore.ErrCorrupt, syscall.EIO},
}

// localErrnos are what the disk with the staging files may say, or what a name is refused with, and reach who writes as
// they are.
var localErrnos = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO, syscall.ENAMETOOLONG}

// errnoOf is what the kernel is told of err. What the table does not have is a failure of the transport or the server:
// EIO.
func errnoOf(err error) syscall.Errno {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && slices.Contains(localErrnos, errno) {
		return errno
	}
	for _, line := range errnoTable {
		if errors.Is(err, line.err) {
			return line.errno
		}
	}
	return syscall.EIO
}

// readErrno is errnoOf for bytes of an open file: its version was there when it was opened, so not to find it means
// that it was replaced or deleted since.
func readErrno(err error) syscall.Errno {
	if errno := errnoOf(err); errno != syscall.ENOENT {
		return errno
	}
	return syscall.ESTALE
}

// answer counts an errno, and logs err when the errno alone would leave the user guessing. what is the request, as in
// "open"; name what it was about.
func (f *fileSystem) answer(what, name string, err error, errno syscall.Errno) fuse.Status {
	switch errno {
	case syscall.ENOENT, syscall.EEXIST:
	case syscall.EINVAL, syscall.ENOTSUP, syscall.ENAMETOOLONG, syscall.EFBIG: // the caller's own doing
		f.cfg.Log.Debug("refused", "operation", what, "name", name, "errno", errno.Error(), "error", err)
	case syscall.EINTR:
		f.counters.interrupted.Add(1)
		f.cfg.Log.Debug("given up", "operation", what, "name", name)
	case syscall.ESTALE:
		f.counters.stale.Add(1)
		f.cfg.Log.Debug("changed in the store", "operation", what, "name", name, "error", err)
	default:
		f.counters.errors.Add(1)
		f.logFailure(what, name, err, errno)
	}
	return fuse.Status(errno)
}

// logFailure says what failed. A credential that is refused fails everything, and is said once in a while.
func (f *fileSystem) logFailure(what, name string, err error, errno syscall.Errno) {
	if !errors.Is(err, objstore.ErrCredentials) {
		f.cfg.Log.Warn("failed", "operation", what, "name", name, "errno", errno.Error(), "error", err)
		return
	}
	if held, due := f.refused.due(f.cfg.Now()); due {
		f.cfg.Log.Warn("the credential is missing, expired or refused; it is read anew, and used once it is renewed",
			"operation", what, "name", name, "errno", errno.Error(), "error", err, "failed_since_last_said", held)
	}
}
