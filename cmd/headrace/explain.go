package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/headrace/headrace/cache"
	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
)

// explainStore turns the store's refusal into what the user can do about it. what is the bucket or URL that was asked
// for.
func explainStore(err error, what string, o storeOptions) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	where := o.endpoint
	switch where {
	case "":
		where = "the store"
	case s3store.AutoEndpoint: // either of two
		where = "CoreWeave"
	}
	reason := storeReason(err)
	if missing, ok := errors.AsType[*s3store.NoProfileError](err); ok {
		return fail(exitDenied, err, "there is no profile %q in the files for AWS or CoreWeave: check --profile and AWS_PROFILE; `aws configure list-profiles` shows those that are there", missing.Profile)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fail(exitFailure, err, "interrupted before %s answered", where)
	case errors.Is(err, objstore.ErrClockSkew):
		return fail(exitDenied, err, "this machine's clock differs too much from that of %s: set the clock (`timedatectl set-ntp true`)", where)
	case errors.Is(err, objstore.ErrCredentials) && answered(err):
		return fail(exitDenied, err, "%s refuses the credentials (%s): check the access key, its secret and whether they have expired, or --profile", where, reason)
	case errors.Is(err, objstore.ErrCredentials):
		return fail(exitDenied, err, "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a --profile, or use --no-sign-request for a public bucket")
	case errors.Is(err, objstore.ErrNoBucket):
		return fail(exitNoBucket, err, "there is no bucket %s at %s: check the name and --endpoint", what, where)
	case errors.Is(err, objstore.ErrConflict):
		return fail(exitUnreachable, err, "%s takes no requests for %s just now (%s): a bucket that was just made takes a minute; else check --region", where, what, reason)
	case errors.Is(err, objstore.ErrInvalid) && answered(err):
		return fail(exitNoBucket, err, "%s does not take %s for the name of a bucket (%s): check it", where, what, reason)
	case errors.Is(err, objstore.ErrPermission):
		return fail(exitDenied, err, "%s denies access to %s (%s): the credentials need s3:ListBucket and s3:GetObject; for a public bucket try --no-sign-request", where, what, reason)
	case errors.Is(err, objstore.ErrThrottled) && answered(err):
		return fail(exitUnreachable, err, "%s has too much to do (%s): try again, and with less at a time where all of it is yours", where, reason)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, objstore.ErrTimeout):
		return fail(exitUnreachable, err, "%s did not answer in time: check --endpoint and the network", where)
	case !answered(err):
		return fail(exitUnreachable, err, "%s cannot be reached (%s): check --endpoint and the network", where, reason)
	}
	return fail(exitUnreachable, err, "%s gave an answer that cannot be used: %v", where, err)
}

// answered tells whether a server answered at all: an error without a status never got that far.
func answered(err error) bool {
	e, ok := errors.AsType[*objstore.Error](err)
	return ok && e.Status != 0
}

// storeReason is the shortest text that says why: the store's own code, else the innermost cause.
func storeReason(err error) string {
	if e, ok := errors.AsType[*objstore.Error](err); ok {
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// explainMemory says what to do where the kernel does not let address space be reserved that may never be used.
func explainMemory(err error, memory size) error {
	if !errors.Is(err, syscall.ENOMEM) {
		return err
	}
	return fail(exitFailure, err, "no address space for --memory %s, which takes %d times as much, reserved and not used: "+
		"`ulimit -v unlimited`, `sysctl vm.overcommit_memory=0`, or a smaller --memory", memory.String(), cache.AddressSpaceFactor)
}

// explainMount turns a failure to mount into what the user can do about it.
func explainMount(err error, dir string, allowOther bool) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNoFusermount):
		return fail(exitFUSE, err, "users other than root need fusermount3 to mount: install the package fuse3")
	case errors.Is(err, fs.ErrNoFUSE), errors.Is(err, syscall.ENODEV):
		return fail(exitFUSE, err, "the kernel has no FUSE: load it with `modprobe fuse`")
	case errors.Is(err, os.ErrPermission) && allowOther && os.Getuid() != 0:
		return fail(exitFUSE, err, "not allowed to mount on %s for other users: put user_allow_other into /etc/fuse.conf, or leave --allow-other out", dir)
	case errors.Is(err, os.ErrPermission):
		return fail(exitFUSE, err, "not allowed to mount on %s: the directory must be yours; in a container, CAP_SYS_ADMIN and /dev/fuse are needed (--cap-add SYS_ADMIN --device /dev/fuse)", dir)
	}
	return fail(exitFUSE, err, "cannot mount on %s: %v", dir, err)
}
