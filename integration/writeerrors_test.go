package integration

import (
	"net/http"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// close and fsync say why what was written is not stored: EACCES when the store forbids it, EDQUOT when its quota is
// used up, ETIMEDOUT after `--close-timeout` without progress. The data stays, can be read, and goes on being tried: it
// is stored when the store takes it.
func TestWhatCloseSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act  action
		want syscall.Errno
	}{
		"forbidden": {answer(http.StatusForbidden, "AccessDenied"), syscall.EACCES},
		"quota":     {answer(http.StatusForbidden, "QuotaExceeded"), syscall.EDQUOT},
		"no answer": {hold(), syscall.ETIMEDOUT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			b.putText("old", "old")
			p := newProxy(t, b.server.Endpoint())
			m := mountFaulty(t, b, p.endpoint(), "--close-timeout", "2s")
			refused := p.inject(&fault{operation: "PUT", act: c.act})
			for _, key := range []string{"old", "new"} {
				f := must[*os.File](t)(os.Create(m.path(key)))
				if err := write(f, "content"); err != nil {
					t.Fatal(err)
				}
				if err := f.Sync(); !isErrno(err, c.want) {
					t.Errorf("%s: fsync: %v, should be %v", key, err, c.want)
				}
				if err := f.Close(); !isErrno(err, c.want) {
					t.Errorf("%s: close: %v, should be %v", key, err, c.want)
				}
				if got := m.read(key); got != "content" {
					t.Errorf("%s: the mount reads %q", key, got)
				}
			}
			b.want("old", "old")
			b.wantNothing("new")
			if refused.hits() == 0 {
				t.Error("the store was never asked")
			}
			p.heal()
			for _, key := range []string{"old", "new"} {
				eventually(t, patience, key+" to be stored", func() bool { return fileSize(b.path(key)) == int64(len("content")) })
				b.want(key, "content")
			}
		})
	}
}

// A store that fails or throttles while it is written to is waited for, and the writer notices nothing but time.
func TestWriteThroughFaults(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	large := string(noise(70_000_000, 1))
	faults := map[string]action{
		"SlowDown": answer(http.StatusServiceUnavailable, "SlowDown"), "InternalError": answer(http.StatusInternalServerError, "InternalError"),
		"throttled": answer(http.StatusTooManyRequests, "TooManyRequests"), "conflict": answer(http.StatusConflict, "ConditionalRequestConflict"),
		"lost answer": lose(), "wrong bit": flip(),
	}
	for name, act := range faults {
		broken := p.inject(&fault{operation: "PUT", times: 2, act: act})
		m.write(name, "small")
		b.want("small", name)
		if broken.hits() == 0 {
			t.Errorf("%s: nothing was broken", name)
		}
		p.heal()
	}
	// Beginning, a part and the end of a multipart upload: one of each is broken in each way.
	for i, act := range []action{faults["SlowDown"], lose(), flip()} {
		p.inject(&fault{operation: "PUT", times: 1, act: act})
		p.inject(&fault{operation: "POST", times: 1, act: act})
		p.inject(&fault{operation: "POST", skip: 1, times: 1, act: act})
		m.write(large[i:], "large")
		b.want("large", large[i:])
		p.heal()
	}
}

// What arrives at the store is compared with the checksum that goes along with it: a wire that spoils it is EIO at
// close, and never stored; what was written is kept, and stored once it arrives as it is.
func TestWireThatSpoils(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint())
	p.inject(&fault{operation: "PUT", act: flip()})
	if err := os.WriteFile(m.path("file"), []byte("content"), 0o644); !isErrno(err, syscall.EIO) {
		t.Errorf("%v, should be EIO", err)
	}
	b.wantNothing("file")
	p.heal()
	eventually(t, patience, "the file to be stored", func() bool {
		stored, err := os.ReadFile(b.path("file"))
		return err == nil && string(stored) == "content"
	})
}

// lose has the server carry the request out, and nobody hear of it.
func lose() action {
	return modify(func(resp *http.Response, _ <-chan struct{}) {
		resp.Body.Close()
		panic(http.ErrAbortHandler)
	})
}

// A writer that outruns the store waits when `--staging-size` is used up, and a file that is larger goes through when
// it is written in order.
func TestStagingBudget(t *testing.T) {
	t.Parallel()
	const size = 300 << 20
	b := newBucket(t)
	m := startMount(t, mountSpec{source: b.source(), endpoint: b.server.Endpoint(), flags: []string{"--staging-size", "256MiB"}, binary: shared.plain})
	o := object{key: "large", content: 3, size: size}
	f := must[*os.File](t)(os.Create(m.path("large")))
	buf := make([]byte, 4<<20)
	most := uint64(0)
	for off := int64(0); off < size; off += int64(len(buf)) {
		o.content.ReadAt(buf, off)
		if _, err := f.WriteAt(buf, off); err != nil {
			t.Fatal(err)
		}
		if off%(16<<20) == 0 {
			most = max(most, uint64(m.counters("headrace_upload_staged_bytes")["headrace_upload_staged_bytes"]))
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if most > 256<<20 || most == 0 {
		t.Errorf("%d bytes were in the staging directory", most)
	}
	if got, err := hashFile("read", b.path("large")); err != nil || got != o.sha256() {
		t.Errorf("stored is %s, %v", got, err)
	}
}

// A write that does not fit on the disk of the staging directory is ENOSPC; what was written before is not lost by it,
// and when there is room again writing goes on.
func TestFullStagingDisk(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	disk := t.TempDir()
	if err := unix.Mount("headrace-test", disk, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatalf("a small disk cannot be mounted (as root?): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m := mountFaulty(t, b, b.server.Endpoint(), "--staging-dir", disk, "--staging-size", "256MiB")
	f := must[*os.File](t)(os.Create(m.path("file")))
	content := noise(16<<20, 1)
	written := 0
	for written < len(content) {
		n, err := f.Write(content[written:min(written+128<<10, len(content))])
		if written += n; isErrno(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatalf("after %d bytes: %v, should be ENOSPC", written, err)
		}
	}
	if written < 4<<20 || written == len(content) {
		t.Fatalf("%d bytes fit on a disk of 8 MiB", written)
	}
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content[1<<20:2<<20], 1<<20); err != nil {
		t.Errorf("once there is room: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.want("file", string(content[:2<<20]))
}
