package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
)

// mountTwice mounts a bucket twice, as two machines would, with staging directories of their own: what loses against
// the other mount stays there.
func mountTwice(t *testing.T, b *bucket, flags ...string) [2]*mount {
	t.Helper()
	var mounts [2]*mount
	for i := range mounts {
		mounts[i] = mountFaulty(t, b, b.server.Endpoint(), append([]string{"--staging-dir", t.TempDir()}, flags...)...)
	}
	return mounts
}

// What one machine has stored (close or fsync returned 0), an open() on another one sees, unless it had confirmed what
// was there before within its `--metadata-ttl`.
func TestCloseToOpen(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	mounts := mountTwice(t, b, "--metadata-ttl", "0s")
	for round := range 60 {
		from, to := mounts[round%2], mounts[(round+1)%2]
		want := strings.Repeat(fmt.Sprint("round ", round, "\n"), 1+round*997%5000)
		f := must[*os.File](t)(os.OpenFile(from.path("file"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644))
		if err := write(f, want); err != nil {
			t.Fatal(err)
		}
		if round%3 == 0 {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			if got := to.read("file"); got != want {
				t.Fatalf("round %d: after fsync %s is read", round, outline([]byte(got)))
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := to.read("file"); got != want {
			t.Fatalf("round %d: after close %s is read, should be %s", round, outline([]byte(got)), outline([]byte(want)))
		}
		if info, err := os.Stat(to.path("file")); err != nil || info.Size() != int64(len(want)) {
			t.Fatalf("round %d: stat says %v, %v", round, info, err)
		}
	}
}

// Of several machines that make one name with O_EXCL exactly one wins. Whether it is oneself is known at close or
// fsync, where the others get EEXIST; with `--exclusive-create=open`, as lock files need it, at open.
func TestExclusiveCreate(t *testing.T) {
	t.Parallel()
	for when, make := range map[string]func(path, text string) error{"close": makeAndWrite, "open": makeOnly} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			const rounds = 500 // of each kind
			b := newBucket(t)
			mounts := mountTwice(t, b, "--exclusive-create", when)
			var rivals errgroup.Group
			rivals.SetLimit(8)
			for round := range rounds {
				rivals.Go(func() error { return race(b, mounts, fmt.Sprint("name-", round), make) })
			}
			if err := rivals.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// race has all mounts make a name at once: one must win, and the bucket have its content.
func race(b *bucket, mounts [2]*mount, name string, make func(path, text string) error) error {
	var winner atomic.Pointer[string]
	var rivals errgroup.Group
	for i, m := range mounts {
		text := fmt.Sprint("machine ", i)
		rivals.Go(func() error {
			switch err := make(m.path(name), text); {
			case err == nil && !winner.CompareAndSwap(nil, &text):
				return fmt.Errorf("%s: both have won", name)
			case err != nil && !isErrno(err, syscall.EEXIST):
				return fmt.Errorf("%s: who lost got %w, should be EEXIST", name, err)
			}
			return nil
		})
	}
	if err := rivals.Wait(); err != nil {
		return err
	}
	won := winner.Load()
	if won == nil {
		return fmt.Errorf("%s: nobody has won", name)
	}
	if got, err := os.ReadFile(b.path(name)); err != nil || string(got) != *won {
		return fmt.Errorf("%s: the bucket has %q, %w; the winner is %q", name, got, err, *won)
	}
	return nil
}

// makeAndWrite makes a file, which is decided at close.
func makeAndWrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := write(f, text); err != nil {
		return err
	}
	return f.Close()
}

// makeOnly makes a file, which is decided at open; what follows must not fail.
func makeOnly(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := write(f, text); err != nil {
		return fmt.Errorf("after it was won: %v", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("after it was won: %v", err)
	}
	return nil
}

// So it is where the store's answer is lost: an empty file made with O_EXCL bears a name of its writer in its metadata
// (`headrace-writer`), by which a mount knows whether what is in its way is its own; one with content is known by that.
func TestExclusiveCreateWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	other := mountFaulty(t, b, b.server.Endpoint(), "--staging-dir", t.TempDir(), "--exclusive-create", "open")
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--staging-dir", t.TempDir(), "--exclusive-create", "open")
	for name, mine := range map[string]bool{"mine": true, "theirs": false} {
		dropped := p.inject(&fault{operation: "PUT", key: name, times: 1, act: func(_ http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
			if mine {
				next.ServeHTTP(httptest.NewRecorder(), r)
			} else if err := makeOnly(other.path(name), "theirs"); err != nil {
				t.Error(err)
			} else if err := os.Truncate(other.path(name), 0); err != nil { // as a lock is, mostly
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}})
		err := makeOnly(m.path(name), "mine")
		if mine && err != nil || !mine && !isErrno(err, syscall.EEXIST) {
			t.Errorf("%s: %v", name, err)
		}
		if dropped.hits() != 1 {
			t.Errorf("%s: %d answers were lost", name, dropped.hits())
		}
	}
}

// A name that was lost to another machine at open leaves nothing behind: a lock is tried for again and again.
func TestLostLocksLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b, "--exclusive-create", "open", "--metadata-ttl", "10m")
	m.names()
	for i := range 20 { // which this mount believes to be free
		name := fmt.Sprint("lock-", i)
		b.putText(name, "theirs")
		if err := makeOnly(m.path(name), "mine"); !isErrno(err, syscall.EEXIST) {
			t.Fatalf("%s: %v, should be EEXIST", name, err)
		}
		b.want(name, "theirs")
		if got := m.read(name); got != "theirs" {
			t.Errorf("%s: the mount reads %q", name, got)
		}
	}
}

// What another machine has replaced or removed since it was opened here is not replaced: close is ESTALE, and what was
// written is kept (`headrace uploads`).
func TestReplacedWhileWritten(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	mounts := mountTwice(t, b)
	for name, change := range map[string]func(path string) error{
		"replaced": func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o644) },
		"removed":  os.Remove,
	} {
		for _, size := range []int{1_000, 70_000_000} {
			name := fmt.Sprint(name, "-", size)
			b.putText(name, "old")
			f := mounts[0].openFile(os.O_RDWR, name)
			if _, err := f.Write(noise(size, 1)); err != nil {
				t.Fatal(err)
			}
			if err := change(mounts[1].path(name)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); !isErrno(err, syscall.ESTALE) {
				t.Errorf("%s: close: %v, should be ESTALE", name, err)
			}
			if strings.HasPrefix(name, "replaced") {
				b.want(name, "theirs")
				if got := mounts[0].read(name); got != "theirs" {
					t.Errorf("%s: who lost reads %s", name, outline([]byte(got)))
				}
			} else {
				b.wantNothing(name)
			}
		}
	}
}

// A file that another machine replaces while it is open here reads as the version that was opened, or not at all: bytes
// of the new one are never seen by the old descriptor.
func TestReplacedUnderReader(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	mounts := mountTwice(t, b, "--metadata-ttl", "0s", "--memory", "32MiB")
	o := b.put("object", 1, 6*chunk)
	f := mounts[0].open("object")
	readFirst(t, f, o)
	newer := object{content: 2, size: 2 * chunk}
	if err := os.WriteFile(mounts[1].path("object"), newer.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	checkFixed(t, f, o)
	if got, err := hashFile("read", mounts[0].path("object")); err != nil || got != newer.sha256() {
		t.Errorf("a new open reads %s, %v; should read the new version", got, err)
	}
	if err := os.Rename(mounts[1].path("object"), mounts[1].path("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mounts[0].path("object")); !isErrno(err, syscall.ENOENT) {
		t.Errorf("after it was renamed there, stat here says %v, should be %v", err, fs.ErrNotExist)
	}
	checkFixed(t, f, o)
}
