package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
)

func TestExplainMemory(t *testing.T) {
	err := explainMemory(fmt.Errorf("cache: reserving 63488 MiB of address space: %w", syscall.ENOMEM), 2*gib)
	if err == nil || !strings.Contains(err.Error(), "--memory 2GiB") || !strings.Contains(err.Error(), "vm.overcommit_memory") {
		t.Error(err)
	}
	if other := errors.New("other"); explainMemory(other, 2*gib) != other || explainMemory(nil, 2*gib) != nil {
		t.Error("another error is changed")
	}
}

func TestStoreRefusalsSayWhatToDo(t *testing.T) {
	answer := func(status int, code string, err error) error {
		return fmt.Errorf("wrapped: %w", &objstore.Error{Op: "ListObjectsV2", Bucket: "b", Status: status, Code: code, Err: err})
	}
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{answer(404, "NoSuchBucket", objstore.ErrNoBucket), exitNoBucket, "check the name"},
		{answer(403, "AccessDenied", objstore.ErrPermission), exitDenied, "s3:ListBucket"},
		{answer(403, "InvalidAccessKeyId", objstore.ErrCredentials), exitDenied, "InvalidAccessKeyId"},
		{answer(0, "", objstore.ErrCredentials), exitDenied, "AWS_ACCESS_KEY_ID"},
		{fmt.Errorf("wrapped: %w", &s3store.NoProfileError{Profile: "trainig"}), exitDenied, `no profile "trainig"`},
		{answer(403, "RequestTimeTooSkewed", objstore.ErrClockSkew), exitDenied, "set the clock"},
		{answer(400, "InvalidBucketName", objstore.ErrInvalid), exitNoBucket, "name of a bucket"},
		{answer(400, "InvalidRegion", objstore.ErrConflict), exitUnreachable, "takes a minute"},
		{answer(0, "", objstore.ErrTimeout), exitUnreachable, "in time"},
		{answer(0, "", syscall.ECONNREFUSED), exitUnreachable, "connection refused"},
		{answer(503, "SlowDown", objstore.ErrThrottled), exitUnreachable, "too much to do (SlowDown)"},
		{context.DeadlineExceeded, exitUnreachable, "in time"},
		{context.Canceled, exitFailure, "interrupted"},
	} {
		got := explainStore(c.err, "b", storeOptions{endpoint: "http://h"})
		if exitCode(got) != c.code || !strings.Contains(got.Error(), c.says) || !errors.Is(got, c.err) {
			t.Errorf("%v: %d %v; want %d and %q", c.err, exitCode(got), got, c.code, c.says)
		}
	}
	for endpoint, where := range map[string]string{"": "the store", "auto": "CoreWeave", "http://h": "http://h"} {
		if got := explainStore(syscall.ECONNREFUSED, "b", storeOptions{endpoint: endpoint}); !strings.HasPrefix(got.Error(), where+" cannot be reached") {
			t.Errorf("--endpoint %q: %v", endpoint, got)
		}
	}
	if explainStore(nil, "b", storeOptions{}) != nil || explainMount(nil, "/d", false) != nil {
		t.Error("success was explained")
	}
}

func TestMountRefusalsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{fmt.Errorf("fs: %w", fs.ErrNoFUSE), "modprobe fuse"},
		{fmt.Errorf("fs: %w", fs.ErrNoFusermount), "package fuse3"},
		{fmt.Errorf("fs: %w", syscall.EPERM), "CAP_SYS_ADMIN"},
		{fmt.Errorf("fs: %w", syscall.EIO), "cannot mount on /d"},
	} {
		if got := explainMount(c.err, "/d", false); exitCode(got) != exitFUSE || !strings.Contains(got.Error(), c.says) {
			t.Errorf("%v: %d %v; want %q", c.err, exitCode(got), got, c.says)
		}
	}
}

func TestCheckFUSE(t *testing.T) {
	device := filepath.Join(t.TempDir(), "fuse")
	found := func(string) (string, error) { return "/bin/fusermount3", nil }
	missing := func(string) (string, error) { return "", os.ErrNotExist }
	if err := checkFUSE(device, 0, found); exitCode(err) != exitFUSE || !strings.Contains(err.Error(), "--device /dev/fuse") {
		t.Errorf("no device: %v", err)
	}
	writeFile(t, device)
	if err := checkFUSE(device, 1000, missing); exitCode(err) != exitFUSE || !strings.Contains(err.Error(), "fuse3") {
		t.Errorf("no fusermount3: %v", err)
	}
	if err := errors.Join(checkFUSE(device, 0, missing), checkFUSE(device, 1000, found)); err != nil {
		t.Error(err)
	}
}

func TestMountpointIsNamedAsTheKernelNamesIt(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/real", 0o755), os.Symlink("real", dir+"/link"), os.Symlink(dir, dir+"/real/up"),
		os.Symlink("link", dir+"/second"), os.Symlink(dir+"/real/up/real", dir+"/through"), os.Symlink("round", dir+"/round")); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{"real", "link", "real/../link", "real/up/link/.", "second", "through"} {
		if got, err := resolveMountpoint(filepath.Join(dir, given)); err != nil || got != dir+"/real" {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
	if got, err := resolveMountpoint(dir + "/round"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link to itself: %s, %v", got, err)
	}
	if _, err := checkMountpoint(dir + "/none/deeper"); exitCode(err) != exitMountpoint || !strings.Contains(err.Error(), "mkdir -p") {
		t.Errorf("missing: %v", err)
	}
}
