package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A file is renamed to a new name or in place of another file, which is gone as soon as the new one is there;
// RENAME_NOREPLACE is EEXIST where the name is taken, and RENAME_EXCHANGE EINVAL.
func TestRenameFile(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	b.putText("clean", "clean")
	b.putText("taken", "taken")
	if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	flags := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, m.path(from), unix.AT_FDCWD, m.path(to), flags)
	}
	if err := flags("clean", "taken", unix.RENAME_NOREPLACE); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RENAME_NOREPLACE: %v", err)
	}
	if err := flags("clean", "taken", unix.RENAME_EXCHANGE); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("RENAME_EXCHANGE: %v", err)
	}
	if err := flags("clean", "dir/moved", unix.RENAME_NOREPLACE); err != nil {
		t.Fatal(err)
	}
	b.want("dir/moved", "clean")
	if err := os.Rename(m.path("dir", "moved"), m.path("taken")); err != nil {
		t.Fatal(err)
	}
	b.want("taken", "clean")
	if got := b.stored("clean"); got != nil {
		t.Errorf("the old name has %q", got)
	}
	if err := os.Rename(m.path("taken"), m.path("dir")); err == nil {
		t.Error("a file was renamed over a directory")
	}
	if err := os.Rename(m.path("nothing"), m.path("taken")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	if got := m.read("taken"); got != "clean" {
		t.Errorf("it reads %q", got)
	}
}

// A directory is renamed with all that is below it, in the bucket too.
func TestRenameDirectory(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	const files = 200
	for i := range files {
		b.putText(fmt.Sprintf("from/sub-%d/file-%d", i%7, i), fmt.Sprint(i))
	}
	dirty := m.openFile(os.O_CREATE|os.O_RDWR, "from", "dirty")
	if _, err := dirty.WriteString("dirty"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.path("from"), m.path("to")); err != nil {
		t.Fatal(err)
	}
	if err := dirty.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		b.want(fmt.Sprintf("to/sub-%d/file-%d", i%7, i), fmt.Sprint(i))
	}
	b.want("to/dirty", "dirty")
	if got := m.names(); len(got) != 1 || got[0] != "to" {
		t.Errorf("the root has %q", got)
	}
	if got := m.read("to", "sub-3", "file-3"); got != "3" {
		t.Errorf("a file reads %q", got)
	}
	if err := os.Mkdir(m.path("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Not os.Rename, which does not ask the kernel when there is a directory.
	if err := unix.Rename(m.path("to"), m.path("empty")); err != nil {
		t.Errorf("over an empty directory: %v", err)
	}
	if err := os.Mkdir(m.path("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Rename(m.path("other"), m.path("empty")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("over one with something in it: %v", err)
	}
	if err := os.Rename(m.path("empty"), m.path("empty", "below")); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("below itself: %v", err)
	}
}

// What is created and stored below a directory while that is renamed is under the new name afterwards, and not under
// the old one.
func TestRenameDirectoryMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for i := range 100 {
		b.putText(fmt.Sprintf("from/file-%d", i), fmt.Sprint(i))
	}
	dir := must[*os.Root](t)(os.OpenRoot(m.path("from")))
	defer dir.Close()
	stop, stored := make(chan struct{}), make(chan []string, 1)
	begun := make(chan struct{})
	go func() {
		var names []string
		defer func() { stored <- names }()
		for i := 0; ; i++ {
			name := fmt.Sprintf("new-%d", i)
			f, err := dir.Create(name)
			if err == nil {
				err = errors.Join(write(f, name), f.Sync(), f.Close())
			}
			if err != nil {
				t.Error(name, err)
				return
			}
			if names = append(names, name); i == 0 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	<-begun
	if err := os.Rename(m.path("from"), m.path("to")); err != nil {
		t.Error(err)
	}
	close(stop)
	names := <-stored
	for _, name := range names {
		b.want("to/"+name, name)
		if got := b.stored("from/" + name); got != nil {
			t.Errorf("under the old name %s has %q", name, got)
		}
	}
	if got := m.names("to"); len(got) != 100+len(names) {
		t.Errorf("%d names are there, should be %d", len(got), 100+len(names))
	}
}

// A name too long for a key (1,024 bytes, the directory's included) is ENAMETOOLONG, also before a directory rename
// begins.
func TestNamesTooLong(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	long := strings.Repeat("x", 200)
	deep := filepath.Join(long, long, long, long, long) // 1,004 bytes
	if err := os.MkdirAll(m.path(deep[:803]), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(deep[:803], strings.Repeat("y", 230)), nil, 0o644); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a file: %v", err)
	}
	if err := os.Mkdir(m.path(deep[:803], strings.Repeat("y", 230)), 0o755); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.MkdirAll(m.path("dir", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write("x", "dir", "sub", strings.Repeat("z", 220))
	if err := os.Rename(m.path("dir"), m.path(deep[:803], "dir")); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a directory rename: %v", err)
	}
	if got := m.read("dir", "sub", strings.Repeat("z", 220)); got != "x" {
		t.Errorf("after that the file reads %q", got)
	}
}

// A file that is renamed before it is stored is stored under its new name alone, without a copy.
func TestRenameUnstored(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("over", "old")
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	for _, name := range []string{"new", "over"} {
		f := m.openFile(os.O_CREATE|os.O_EXCL|os.O_RDWR, "temporary")
		if err := write(f, "content"); err != nil {
			t.Fatal(err)
		}
		p.take(t)
		if err := os.Rename(m.path("temporary"), m.path(name)); err != nil {
			t.Fatal(err)
		}
		if got := m.read(name); got != "content" {
			t.Errorf("%s: before close it reads %q", name, got)
		}
		checkMissing(t, m.path("temporary"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		b.want(name, "content")
		b.wantNothing("temporary")
		requests := slices.DeleteFunc(p.take(t), func(r string) bool { return strings.HasPrefix(r, "HEAD ") || strings.HasPrefix(r, "LIST ") })
		if len(requests) != 1 || !strings.HasPrefix(requests[0], "PUT /"+name) {
			t.Errorf("%s: rename and close cost %q, should be one PUT", name, requests)
		}
	}
}

// A file that is renamed while it is being stored is stored under its new name in the end, and not under its old one.
func TestRenameWhileStored(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"empty":    `: > $MNT/file`,
		"closed":   `printf content > $MNT/file & true`,
		"replaced": `printf content > $MNT/file & : > $MNT/other; sync -d $MNT/other`,
		"open":     `{ printf content; exec sleep 1; } > $MNT/file & true`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			p := newProxy(t, b.server.Endpoint())
			m := mountThrough(t, b, p)
			put := p.inject(&fault{operation: "PUT", key: "file", times: 1, act: hold()})
			writing := start(t, m.command(script+"; wait"))
			eventually(t, patience, "the store to be asked", func() bool { return put.hits() > 0 || name == "open" && fileSize(m.path("file")) > 0 })
			renaming := start(t, m.command(`mv $MNT/file $MNT/other`))
			eventually(t, patience, "mv to wait", func() bool { return renaming.ended() || waitsInKernel(renaming.cmd.Process.Pid) })
			p.heal()
			renaming.await(patience)
			writing.await(patience)
			if !renaming.cmd.ProcessState.Success() || !writing.cmd.ProcessState.Success() {
				t.Errorf("mv: %s; the writer: %s", renaming.stderr.String(), writing.stderr.String())
			}
			want := "content"
			if name == "empty" {
				want = ""
			}
			if got := m.read("other"); got != want {
				t.Errorf("the new name reads %q", got)
			}
			checkMissing(t, m.path("file"))
			eventually(t, patience, "the new name to be stored", func() bool { return fileSize(b.path("other")) == int64(len(want)) })
			b.wantNothing("file")
		})
	}
}

// So is one that replaces a file that is being stored: what was written to that is gone.
func TestRenameOverWhileStored(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"stored": `printf content > $MNT/file`,
		"open":   `{ printf content; exec sleep 1; } > $MNT/file`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			p := newProxy(t, b.server.Endpoint())
			m := mountThrough(t, b, p)
			put := p.inject(&fault{operation: "PUT", key: "other", times: 1, act: hold()})
			m.shell(`: > $MNT/other`)
			eventually(t, patience, "the store to be asked", func() bool { return put.hits() > 0 })
			writing := start(t, m.command(script))
			eventually(t, patience, "the file to be written", func() bool { return fileSize(m.path("file")) == 7 })
			renaming := start(t, m.command(`mv -f $MNT/file $MNT/other`))
			eventually(t, patience, "mv to wait", func() bool { return renaming.ended() || waitsInKernel(renaming.cmd.Process.Pid) })
			p.heal()
			renaming.await(patience)
			writing.await(patience)
			if !renaming.cmd.ProcessState.Success() || !writing.cmd.ProcessState.Success() {
				t.Errorf("mv: %s; the writer: %s", renaming.stderr.String(), writing.stderr.String())
			}
			if got := m.read("other"); got != "content" {
				t.Errorf("the name reads %q", got)
			}
			eventually(t, patience, "it to be stored", func() bool { return fileSize(b.path("other")) == 7 })
			b.wantNothing("file")
		})
	}
}

// Who has a file open goes on writing to it when it is renamed: what is written afterwards is stored under its new
// name.
func TestRenameWhileWritten(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("stored", "one")
	m := mountBucket(t, b)
	names := []string{"stored", "second", "dir/third"}
	if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := m.openFile(os.O_WRONLY|os.O_APPEND, "stored")
	want := "one"
	for i, name := range names {
		if err := write(f, " more"); err != nil {
			t.Fatal(err)
		}
		want += " more"
		if i > 0 {
			if err := os.Rename(m.path(names[i-1]), m.path(name)); err != nil {
				t.Fatal(err)
			}
			b.wantNothing(names[i-1])
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		b.want(name, want)
		if got := m.read(name); got != want {
			t.Errorf("%s reads %q, should be %q", name, got, want)
		}
	}
}

// A rename from one bucket to another is EXDEV, so that mv copies.
func TestRenameBetweenBuckets(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	first, second := newBucketOn(t, server), newBucketOn(t, server)
	first.putText("file", "content")
	m := startMount(t, mountSpec{source: "s3://", endpoint: server.Endpoint()})
	if err := os.Rename(m.path(first.name, "file"), m.path(second.name, "file")); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("rename: %v, should be EXDEV", err)
	}
	m.shell(fmt.Sprintf("mv $MNT/%s/file $MNT/%s/file", first.name, second.name))
	first.wantNothing("file")
	second.want("file", "content")
}
