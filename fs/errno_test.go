package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// TestErrnoOf: every error of the store's vocabulary has its errno, however it is wrapped; what is none of them is EIO.
func TestErrnoOf(t *testing.T) {
	for _, test := range []struct {
		err        error
		want, read syscall.Errno
	}{
		{objstore.ErrNotExist, syscall.ENOENT, syscall.ESTALE},
		{objstore.ErrNoBucket, syscall.ENOENT, syscall.ESTALE},
		{objstore.ErrPermission, syscall.EACCES, syscall.EACCES},
		{objstore.ErrCredentials, syscall.EACCES, syscall.EACCES},
		{objstore.ErrClockSkew, syscall.EACCES, syscall.EACCES},
		{objstore.ErrArchived, syscall.EACCES, syscall.EACCES},
		{objstore.ErrKeyNeeded, syscall.EACCES, syscall.EACCES},
		{objstore.ErrChanged, syscall.ESTALE, syscall.ESTALE},
		{errStale, syscall.ESTALE, syscall.ESTALE},
		{objstore.ErrExists, syscall.EEXIST, syscall.EEXIST},
		{objstore.ErrConflict, syscall.EIO, syscall.EIO},
		{objstore.ErrThrottled, syscall.EIO, syscall.EIO},
		{objstore.ErrTimeout, syscall.ETIMEDOUT, syscall.ETIMEDOUT},
		{objstore.ErrQuota, syscall.EDQUOT, syscall.EDQUOT},
		{objstore.ErrInvalid, syscall.EINVAL, syscall.EINVAL},
		{objstore.ErrUnsupported, syscall.ENOTSUP, syscall.ENOTSUP},
		{objstore.ErrCorrupt, syscall.EIO, syscall.EIO},
		{context.Canceled, syscall.EINTR, syscall.EINTR},
		{context.DeadlineExceeded, syscall.ETIMEDOUT, syscall.ETIMEDOUT},
		{io.ErrUnexpectedEOF, syscall.EIO, syscall.EIO},
		{errors.New("connection refused"), syscall.EIO, syscall.EIO},
	} {
		wrapped := fmt.Errorf("more: %w", &objstore.Error{Op: "GetObject", Status: 418, Err: test.err})
		if got := errnoOf(wrapped); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
		if got := readErrno(wrapped); got != test.read {
			t.Errorf("%v of a read: %v, want %v", test.err, got, test.read)
		}
	}
}
