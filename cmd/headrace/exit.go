package main

import (
	"errors"
	"fmt"
)

// Exit codes, as docs/configuration.md documents them. Scripts rely on the numbers: they are only ever added to.
const (
	exitOK          = 0
	exitFailure     = 1  // anything without a number of its own
	exitUsage       = 2  // unknown flag, bad value, wrong number of arguments
	exitMountpoint  = 3  // the directory is missing, no directory, not empty, mounted on already, or not mounted
	exitFUSE        = 4  // the kernel or the container offers no FUSE, or not to this user
	exitNoBucket    = 5  // no such bucket
	exitDenied      = 6  // credentials missing, refused or expired; access denied; clock skew
	exitUnreachable = 7  // no usable answer from the store
	exitBusy        = 8  // the mount is in use, or its process goes on or does not answer
	exitCache       = 9  // the cache directory cannot be used
	exitPartial     = 10 // some of what was asked for was not done
	exitStaging     = 11 // there is no place for what is written
	exitUnstored    = 12 // what was written could not all be stored; it is kept
	exitAdvised     = 13 // doctor: something costs speed or safety
	exitBroken      = 14 // doctor: something does not work
	exitMountHelper = 32 // mount.headrace: what mount(8) expects for "mount failure"
)

// exitCodes is the table of docs/configuration.md.
func exitCodes() []struct {
	Code    int
	Meaning string
} {
	return []struct {
		Code    int
		Meaning string
	}{
		{exitOK, "success; for `mount --foreground`: unmounted cleanly"},
		{exitFailure, "failure without a number of its own"},
		{exitUsage, "unknown flag, bad value, wrong number of arguments"},
		{exitMountpoint, "the mount point is missing, not a directory, not empty, mounted on already, or (`umount`) not mounted"},
		{exitFUSE, "FUSE is not available, or not to this user"},
		{exitNoBucket, "no such bucket"},
		{exitDenied, "credentials missing, refused or expired; access denied; clock wrong"},
		{exitUnreachable, "the store cannot be reached"},
		{exitBusy, "the mount is in use; (`umount`) it is unmounted, but its process goes on, or does not answer"},
		{exitCache, "the cache directory cannot be used"},
		{exitPartial, "`warm`, `keys`, `restripe`, `replicate`, `doctor`, `status`: some of it could not be done, or it was interrupted"},
		{exitStaging, "the staging directory cannot be used"},
		{exitUnstored, "unmounted, but not all that was written could be stored: it is kept, see `headrace uploads`"},
		{exitAdvised, "`doctor`: something costs speed or safety"},
		{exitBroken, "`doctor`: something does not work"},
		{exitMountHelper, "any failure but usage (then 1), when called by mount(8) as `mount.headrace`"},
	}
}

// failure is an error as the user sees it: one line that says what failed and what to do, and the exit code.
type failure struct {
	code int
	text string
	err  error // the cause, for errors.Is; may be nil
}

// fail makes a failure. The format says what failed and, after a colon, what to do about it.
func fail(code int, cause error, format string, args ...any) *failure {
	return &failure{code: code, err: cause, text: fmt.Sprintf(format, args...)}
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// usage is a failure of the command line.
func usage(format string, args ...any) *failure {
	return fail(exitUsage, nil, format, args...)
}

// exitCode is the code that goes with err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return exitFailure
}
