package integration

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// open() asks the store for the current version unless it was confirmed within `--metadata-ttl` (1 second by default):
// what was stored before is what is read after.
func TestOpenSeesWhatWasStoredBefore(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	sizes := []int64{100_000, 100_000, 5, 2 * chunk, 2*chunk + 1, 2*chunk + 1, 0, 100_000}
	b.put("object", 0, 10)
	always := mountBucket(t, b, "--metadata-ttl", "0s")
	second := mountBucket(t, b)
	for i, size := range sizes {
		o := b.put("object", pattern(100+i), size)
		got, err := hashFile("read", always.path("object"))
		if err != nil || got != o.sha256() {
			t.Errorf("version %d of %d bytes with a TTL of 0: got %s, %v", i, size, got, err)
		}
		// The other mount may serve the version before for a second.
		eventually(t, patience, "the mount with the default TTL to see the new version", func() bool {
			return attribute(t, second.path("object"), "user.s3.etag") == o.etag()
		})
		if got, err := hashFile("read", second.path("object")); err != nil || got != o.sha256() {
			t.Errorf("version %d of %d bytes with the default TTL: got %s, %v", i, size, got, err)
		}
	}
}

// What an open file reads is fixed at open: when the object is replaced, what is already here can still be read, and
// the rest fails with ESTALE.
func TestReplacedWhileOpen(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	before := b.put("object", 1, 8*chunk)
	m := mountFaulty(t, b, b.server.Endpoint(), "--metadata-ttl", "0s", "--memory", "32MiB")
	f := m.open("object")
	readFirst(t, f, before)

	after := b.put("object", 2, 8*chunk)
	readFirst(t, f, before)
	checkFixed(t, f, before)
	if got, err := hashFile("read", m.path("object")); err != nil || got != after.sha256() {
		t.Errorf("a new open reads %s, %v; should read the new version", got, err)
	}
	checkFixed(t, f, before) // also after the new version was read through the same name
}

// When the object is deleted while it is open, what is already here can still be read, and the rest fails with ESTALE.
func TestDeletedWhileOpen(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 8*chunk)
	m := mountFaulty(t, b, b.server.Endpoint(), "--metadata-ttl", "0s", "--memory", "32MiB")
	f := m.open("object")
	readFirst(t, f, o)

	b.remove("object")
	readFirst(t, f, o)
	checkFixed(t, f, o)
	if _, err := os.Open(m.path("object")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new open: %v, should be ENOENT", err)
	}
	checkFixed(t, f, o)
}

// readFirst reads the file's first block.
func readFirst(t *testing.T, f *os.File, o object) {
	t.Helper()
	buf := make([]byte, block)
	if _, err := f.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	if err := o.check(buf, 0); err != nil {
		t.Fatal(err)
	}
}

// checkFixed reads the whole of f, an open file of a version that is gone from the store. The file is larger than the
// memory for it, and so some of it must be ESTALE; nothing may be of another version.
func checkFixed(t *testing.T, f *os.File, o object) {
	t.Helper()
	stale := 0
	buf := make([]byte, block)
	for off := int64(0); off < o.size; off += block {
		n, err := f.ReadAt(buf, off)
		if err != nil && !isErrno(err, syscall.ESTALE) {
			t.Fatalf("the block at %d: %v, should be ESTALE", off, err)
		}
		if err != nil {
			stale++
		}
		if err := o.check(buf[:n], off); err != nil {
			t.Fatal(err)
		}
	}
	if stale == 0 {
		t.Error("no block was ESTALE, though the version is gone and memory is short")
	}
}

// Two versions are never mixed in one file, however often the object is replaced while it is read.
func TestVersionsAreNeverMixed(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{100_000, 3*chunk + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			neverMixed(t, size)
		})
	}
}

// neverMixed replaces an object over and over while several readers read it from start to end. All versions have the
// same size, and most the same time of change in whole seconds: only the ETag tells them apart.
func neverMixed(t *testing.T, size int64) {
	const (
		versions = 4
		readers  = 3
		rounds   = 12 // whole reads by each reader
	)
	b := newBucket(t)
	var swaps []func()
	var objects []object
	for i := range versions {
		o, swap := b.prepare("object", pattern(1000+i), size)
		objects, swaps = append(objects, o), append(swaps, swap)
	}
	swaps[0]()
	m := mountFaulty(t, b, b.server.Endpoint(), "--metadata-ttl", "0s")
	done := make(chan struct{})
	replaced := 0
	var replacing errgroup.Group
	replacing.Go(func() error {
		tick := time.NewTicker(replaceInterval)
		defer tick.Stop()
		for ; ; replaced++ {
			select {
			case <-done:
				return nil
			case <-tick.C:
				swaps[replaced%versions]()
			}
		}
	})
	var reading errgroup.Group
	for range readers {
		reading.Go(func() error {
			for range rounds {
				if err := readOneVersion(m.path("object"), objects); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := replacing.Wait(); err != nil || replaced < versions {
		t.Errorf("the object was replaced only %d times (%v)", replaced, err)
	}
	o := objects[0]
	swaps[0]()
	if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
		t.Errorf("in the end the file reads as %s, %v", got, err)
	}
}

// replaceInterval is how long a version stays in the store while readers read: less than it takes to read a large one,
// so that most reads see a change.
const replaceInterval = 40 * time.Millisecond

// readOneVersion reads a file from start to end. ESTALE may end it at any point; all bytes before must be of one
// version.
func readOneVersion(path string, versions []object) error {
	f, err := os.Open(path)
	if isErrno(err, syscall.ESTALE) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	var is *object
	for off := int64(0); ; {
		n, err := f.Read(buf)
		if n > 0 && is == nil {
			is = versionOf(buf[:n], versions)
		}
		if n > 0 && (is == nil || is.check(buf[:n], off) != nil) {
			return fmt.Errorf("the bytes at %d are not of the version that the file began with", off)
		}
		off += int64(n)
		switch {
		case err == io.EOF && off == versions[0].size, isErrno(err, syscall.ESTALE):
			return nil
		case err != nil:
			return fmt.Errorf("at %d: %w", off, err)
		}
	}
}

// versionOf is the version that begins with start, nil when none does.
func versionOf(start []byte, versions []object) *object {
	for i := range versions {
		if versions[i].check(start, 0) == nil {
			return &versions[i]
		}
	}
	return nil
}
