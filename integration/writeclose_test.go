package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// When close() or fsync() returns 0, the bucket has all that the process has written to the file, and not before.
func TestStoredAtClose(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for _, size := range []int{0, 1, 4096, 1 << 20, 70 << 20} {
		name, content := fmt.Sprint("size-", size), noise(size, 1)
		f := m.openFile(os.O_CREATE|os.O_RDWR, name)
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if got := b.stored(name); got != nil {
			t.Errorf("%s: %d bytes are stored before close", name, len(got))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.stored(name), content) {
			t.Errorf("%s: something else is stored after close", name)
		}
	}
	f := m.openFile(os.O_CREATE|os.O_RDWR, "synced")
	for i, more := range []string{"one", "two"} {
		if _, err := f.WriteString(more); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		b.want("synced", "onetwo"[:3+3*i])
	}
}

// With O_SYNC and O_DSYNC each write is in the bucket when it returns.
func TestSynchronousWrites(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for name, flag := range map[string]int{"sync": syscall.O_SYNC, "dsync": syscall.O_DSYNC} {
		f := must[*os.File](t)(os.OpenFile(m.path(name), os.O_WRONLY|os.O_CREATE|flag, 0o644))
		defer f.Close()
		for _, want := range []string{"a", "ab"} {
			if err := write(f, want[len(want)-1:]); err != nil {
				t.Fatal(err)
			}
			b.want(name, want)
		}
	}
}

// truncate of a path is in the bucket when it returns.
func TestTruncateByPathIsStored(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "content")
	m := mountBucket(t, b)
	for _, size := range []int{4, 6, 0} {
		if err := os.Truncate(m.path("file"), int64(size)); err != nil {
			t.Fatal(err)
		}
		want := "cont\x00\x00"[:size]
		b.want("file", want)
		if got := m.read("file"); got != want {
			t.Errorf("the mount has %q, should be %q", got, want)
		}
	}
}

// closes are programs that close a file in ways that a program that copies files does not. In each, `path` is the file,
// fd a descriptor of it that may write, and stored() its content in the bucket, None when there is none.
var closes = []struct{ name, script string }{
	{"a duplicate", `
dup = os.dup(fd)
os.write(fd, b'half ')
os.close(dup)
assert stored() == b'half ', stored()
os.write(fd, b'whole')
os.close(fd)
assert stored() == b'half whole', stored()
`},
	{"a child that ends", `
os.write(fd, b'half ')
child = os.fork()
if child == 0: os._exit(0)
os.waitpid(child, 0)
assert stored() is None, stored()
os.write(fd, b'whole')
os.close(fd)
assert stored() == b'half whole', stored()
`},
	{"a child that writes", `
child = os.fork()
if child == 0:
    os.write(fd, b'by the child')
    os.close(fd)
    os._exit(0 if stored() == b'by the child' else 1)
assert os.waitpid(child, 0)[1] == 0
os.close(fd)
assert stored() == b'by the child', stored()
`},
	{"another thread", `
import threading
os.write(fd, b'whole')
thread = threading.Thread(target=os.close, args=(fd,))
thread.start(); thread.join()
assert stored() == b'whole', stored()
`},
	{"a thread that wrote and ended", `
import threading
thread = threading.Thread(target=os.write, args=(fd, b'whole'))
thread.start(); thread.join()
os.close(fd)
assert stored() == b'whole', stored()
`},
	{"a shared map after close", `
os.write(fd, b'before')
m = mmap.mmap(fd, 6)
os.close(fd)
assert stored() == b'before', stored()
m[:] = b'after!'
m.close()
eventually(b'after!')
`},
	{"a process that is killed", `
child = os.fork()
if child == 0:
    os.write(fd, b'half')
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
os.close(fd)
eventually(b'half')
`},
	{"a descriptor that is passed on", `
import socket
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    _, (got,), _, _ = socket.recv_fds(theirs, 1, 1)
    os.write(got, b'passed on')
    os.close(got)
    os.close(fd)
    os._exit(0 if stored() == b'passed on' else 1)
socket.send_fds(ours, [b'x'], [fd])
assert os.waitpid(child, 0)[1] == 0
os.close(fd)
assert stored() == b'passed on', stored()
`},
}

const closesBegin = `
import mmap, os, sys, time
path, object = sys.argv[2:]
def stored():
    try: return open(object, 'rb').read()
    except FileNotFoundError: return None
def eventually(want):
    end = time.time() + 30
    while stored() != want:
        assert time.time() < end, stored()
        time.sleep(0.005)
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
`

// The close that stores a file is that of the process that has written to it, whichever thread of it: a duplicate's as
// well, and never that of a child that was forked meanwhile and has written nothing.
//
// What a process that was killed had written is stored when the kernel closes its files.
//
// What a shared map is given after the file's close is stored when it is unmapped, at the latest.
func TestWhichCloseStores(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for _, c := range closes {
		t.Run(c.name, func(t *testing.T) {
			key := strings.ReplaceAll(c.name, " ", "-")
			m.python(closesBegin+c.script, m.path(key), b.path(key))
		})
	}
}

// `echo x > f` never puts an empty object in place of the old one, and costs one PUT; so does `(a; b) > f` if only one
// of the two writes.
func TestShellRedirection(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "old")
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	for _, script := range []string{`echo x > $MNT/file`, `(true; echo x) > $MNT/file`, `printf 'x\n' | cat > $MNT/file`, `{ echo x; } 3> $MNT/file >&3`} {
		p.take(t)
		m.shell(script)
		p.take(t)
		b.want("file", "x\n")
	}
	for _, script := range []string{`echo x > $MNT/file`, `echo x > $MNT/new`} {
		p.take(t)
		m.shell(script)
		if puts := countOf(p.take(t), "PUT "); puts != 1 {
			t.Errorf("%s costs %d PUTs", script, puts)
		}
	}
}

// A file that nothing was written to (touch, `: > f`) is stored when its last descriptor is closed; close need not wait
// for that, but with O_EXCL it does.
func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("cut", "old")
	m := mountBucket(t, b)
	f := must[*os.File](t)(os.OpenFile(m.path("exclusive"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.want("exclusive", "")
	m.shell(`touch $MNT/touched; : > $MNT/cut`)
	for _, key := range []string{"touched", "cut"} {
		eventually(t, patience, key+" to be stored", func() bool {
			info, err := os.Stat(b.path(key))
			return err == nil && info.Size() == 0
		})
	}
}

// What was written is in the bucket before SIGTERM and `headrace umount` end the mount's process.
func TestEndingStores(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	put := p.inject(&fault{operation: "PUT", act: hold()})
	m.shell(`for i in 0 1 2 3 4; do : > $MNT/file-$i; done`)
	eventually(t, patience, "the store to be asked", func() bool { return put.hits() == 5 })
	m.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, patience, "the mount to be gone", func() bool { return !isMounted(m.dir) })
	b.wantNothing("file-0")
	p.heal()
	eventually(t, patience, "the daemon to end", m.ended)
	for i := range 5 {
		b.want(fmt.Sprint("file-", i), "")
	}
}

// fileSize is a file's size, -1 when there is none.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// countOf counts the requests of one kind.
func countOf(requests []string, kind string) (n int) {
	for _, r := range requests {
		if strings.HasPrefix(r, kind) {
			n++
		}
	}
	return n
}

// A close that waits for the store ends within a second when the process gets a signal that is to kill it, and what was
// written is stored all the same.
func TestKilledInClose(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	put := p.inject(&fault{operation: "PUT", key: "file", times: 1, act: hold()})
	writer := start(t, exec.Command("sh", "-c", `printf text > "$1"; sleep 60`, "sh", m.path("file")))
	eventually(t, patience, "the store to be asked", func() bool { return put.hits() > 0 })
	begun := time.Now()
	writer.cmd.Process.Signal(syscall.SIGTERM)
	writer.await(patience)
	if took := time.Since(begun); took > promptly {
		t.Errorf("it took %v until the process was gone", took)
	}
	b.wantNothing("file")
	p.heal()
	eventually(t, patience, "the file to be stored", func() bool { return fileSize(b.path("file")) == 4 })
	b.want("file", "text")
}
