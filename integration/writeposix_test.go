package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// metadataAttribute is what the server keeps an object's user metadata in, as JSON.
const metadataAttribute = "user.metadata"

// metadata is the user metadata of an object.
func (b *bucket) metadata(key string) (all map[string]string) {
	b.t.Helper()
	text := make([]byte, 8192)
	n, err := unix.Getxattr(b.path(key), metadataAttribute, text)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &all)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// describe gives an object user metadata beside what it has, as another client would have.
func (b *bucket) describe(key string, metadata map[string]string) {
	b.t.Helper()
	all := b.metadata(key)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, metadata)
	text, err := json.Marshal(all)
	if err == nil {
		err = unix.Setxattr(b.path(key), metadataAttribute, text, 0)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// posixMount mounts a bucket with attributes kept.
func posixMount(t *testing.T, b *bucket, flags ...string) *mount {
	return mountBucket(t, b, append(flags, "--posix-metadata", "--allow-other")...)
}

// shows compares what stat says of a file.
func (m *mount) shows(name string, mode uint32, uid, gid uint32, modTime int64) {
	m.t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(m.path(name), &st); err != nil {
		m.t.Error(err)
		return
	}
	if st.Mode != mode || st.Uid != uid || st.Gid != gid || modTime != 0 && st.Mtim.Sec != modTime {
		m.t.Errorf("%s: mode %o, owner %d:%d, changed %d; want %o %d:%d %d", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, mode, uid, gid, modTime)
	}
}

// With --posix-metadata, modes, owners and times are kept, in the objects' metadata as s3fs writes it: of files while
// they are written and afterwards, and of directories.
func TestPosixMetadata(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := posixMount(t, b)
	when := time.Unix(1_000_000_000, 0)
	f := m.openFile(os.O_CREATE|os.O_RDWR, "written")
	if _, err := f.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Chown(1, 2), os.Chtimes(f.Name(), when, when), f.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"mode": "33152", "uid": "1", "gid": "2", "mtime": "1000000000", "atime": "1000000000"}
	if got := b.metadata("written"); !maps.Equal(got, want) {
		t.Errorf("the object has %v, want %v", got, want)
	}
	m.write("content", "changed")
	var before unix.Stat_t
	if err := unix.Stat(m.path("changed"), &before); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(m.path("changed"), 0o755), os.Chown(m.path("changed"), 3, 4)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(m.path("dir"), 0o750), os.Chtimes(m.path("dir"), when, when), os.Chown(m.path("dir"), 5, 6)); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*mount{m, posixMount(t, b)} {
		one.shows("written", unix.S_IFREG|0o600, 1, 2, when.Unix())
		one.shows("changed", unix.S_IFREG|0o755, 3, 4, before.Mtim.Sec)
		one.shows("dir", unix.S_IFDIR|0o750, 5, 6, when.Unix())
	}
	// What is written takes the time it is written at; the rest stays.
	m.write("more content", "written")
	last := posixMount(t, b)
	last.shows("written", unix.S_IFREG|0o600, 1, 2, 0)
	if info, err := os.Stat(last.path("written")); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("after another write it is of %v, %v", info.ModTime(), err)
	}
	if err := os.Rename(last.path("written"), last.path("dir", "moved")); err != nil {
		t.Fatal(err)
	}
	posixMount(t, b).shows("dir/moved", unix.S_IFREG|0o600, 1, 2, 0)
}

// With --posix-metadata, the kernel checks each file's own mode and owner.
func TestPosixModesAreChecked(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := posixMount(t, b)
	m.write("secret", "secret")
	m.write("open", "open")
	if err := errors.Join(os.Chmod(m.path("secret"), 0o600), os.Chmod(m.path("open"), 0o644)); err != nil {
		t.Fatal(err)
	}
	m.shell(`
setpriv --reuid 65534 --clear-groups cat $MNT/open | grep -q open
setpriv --reuid 65534 --clear-groups cat $MNT/secret 2>&1 | grep -q 'Permission denied'
setpriv --reuid 65534 --clear-groups chmod 777 $MNT/open 2>&1 | grep -q 'not permitted'`)
}

// With --posix-metadata, what s3fs and rclone have written is shown as they mean it.
func TestPosixMetadataOfOthers(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("s3fs", "s3fs")
	b.describe("s3fs", map[string]string{"mode": "33184", "uid": "1000", "gid": "100", "mtime": "1500000000", "ctime": "1500000000"})
	b.putText("rclone", "rclone")
	b.describe("rclone", map[string]string{"mode": "100711", "uid": "7", "mtime": "1500000000.25"})
	b.putText("link", "s3fs")
	b.describe("link", map[string]string{"mode": "41471"})
	b.putText("plain", "plain")
	b.putText("no link", strings.Repeat("x", 5000))
	b.describe("no link", map[string]string{"mode": "41471"})
	m := posixMount(t, b, "--uid", "9", "--gid", "9")
	for range 2 { // asked, and known
		m.shows("s3fs", unix.S_IFREG|0o640, 1000, 100, 1500000000)
		m.shows("rclone", unix.S_IFREG|0o711, 7, 9, 1500000000)
		m.shows("link", unix.S_IFLNK|0o777, 9, 9, 0)
		m.shows("plain", unix.S_IFREG|0o644, 9, 9, 0)
		m.shows("no link", unix.S_IFREG|0o777, 9, 9, 0)
		m.names() // from a listing, too
	}
	if got := m.read("link"); got != "s3fs" {
		t.Errorf("by the link: %q", got)
	}
	// What headrace changes keeps what others have said.
	b.describe("s3fs", map[string]string{"origin": "camera"})
	if err := os.Chmod(m.path("s3fs"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"mode": "33152", "uid": "1000", "gid": "100", "mtime": "1500000000", "origin": "camera"}
	if got := b.metadata("s3fs"); !maps.Equal(got, want) {
		t.Errorf("the object has %v, want %v", got, want)
	}
}

// With --posix-metadata, symbolic links are small objects that hold where they point to.
func TestPosixLinks(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := posixMount(t, b)
	m.write("content", "file")
	if err := errors.Join(os.Symlink("file", m.path("link")), os.Symlink("../no/where", m.path("dangling")), os.Mkdir(m.path("dir"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", m.path("link")); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
	if err := os.Symlink(strings.Repeat("x", 4096), m.path("long")); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a long link: %v", err)
	}
	b.want("link", "file")
	for _, one := range []*mount{m, posixMount(t, b)} {
		for name, target := range map[string]string{"link": "file", "dangling": "../no/where"} {
			if got, err := os.Readlink(one.path(name)); err != nil || got != target {
				t.Errorf("%s points to %q, %v", name, got, err)
			}
		}
		if got := one.read("link"); got != "content" {
			t.Errorf("by the link: %q", got)
		}
	}
	m.write("by the link", "link")
	b.want("file", "by the link")
	b.want("link", "file")
	if err := errors.Join(os.Rename(m.path("link"), m.path("dir", "moved")), os.Remove(m.path("dangling"))); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(m.path("dir", "moved")); err != nil || got != "file" {
		t.Errorf("moved, it points to %q, %v", got, err)
	}
	checkNames(t, m.names(), "dir", "file")
	m.shell(`test "$(find $MNT -type l)" = $MNT/dir/moved`)
}

// With --posix-metadata, attributes of the user's own are kept, of files and directories, up to the 2 KiB of metadata
// that an object may have.
func TestPosixAttributes(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := posixMount(t, b)
	m.write("content", "file")
	if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "dir"} {
		path := m.path(name)
		set := func(attr, value string, flags int) error { return unix.Setxattr(path, attr, []byte(value), flags) }
		for _, step := range []struct {
			what string
			do   func() error
			want error
		}{
			{"set", func() error { return set("user.color", "blue\x00\xff", 0) }, nil},
			{"create", func() error { return set("user.shape", "", unix.XATTR_CREATE) }, nil},
			{"create again", func() error { return set("user.color", "x", unix.XATTR_CREATE) }, syscall.EEXIST},
			{"replace what is not there", func() error { return set("user.size", "x", unix.XATTR_REPLACE) }, syscall.ENODATA},
			{"too large", func() error { return set("user.large", strings.Repeat("x", 2048), 0) }, syscall.ENOSPC},
			{"of the version", func() error { return set("user.s3.etag", "x", 0) }, syscall.EPERM},
			{"of the system", func() error { return set("trusted.x", "x", 0) }, syscall.EOPNOTSUPP},
			{"remove", func() error { return unix.Removexattr(path, "user.shape") }, nil},
			{"remove again", func() error { return unix.Removexattr(path, "user.shape") }, syscall.ENODATA},
		} {
			if err := step.do(); !errors.Is(err, step.want) {
				t.Errorf("%s: %s: %v, want %v", name, step.what, err, step.want)
			}
		}
	}
	for _, one := range []*mount{m, posixMount(t, b)} {
		for _, name := range []string{"file", "dir"} {
			value := make([]byte, 100)
			if n, err := unix.Getxattr(one.path(name), "user.color", value); err != nil || string(value[:n]) != "blue\x00\xff" {
				t.Errorf("%s: %q, %v", name, value[:max(n, 0)], err)
			}
			list := make([]byte, 1000)
			if n, err := unix.Listxattr(one.path(name), list); err != nil || !strings.Contains(string(list[:n]), "user.color\x00") {
				t.Errorf("%s has %q, %v", name, list[:max(n, 0)], err)
			}
		}
	}
}

// With --posix-metadata, rsync -a, cp -a and tar keep what they say they keep: a second rsync has nothing to do.
func TestPosixPrograms(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := posixMount(t, b)
	tree := localTree(t)
	if err := errors.Join(os.Symlink("dir 0", filepath.Join(tree, "link")), os.Chmod(filepath.Join(tree, "dir 1"), 0o700)); err != nil {
		t.Fatal(err)
	}
	m.shell(fmt.Sprintf(`
chown -R 5:6 '%[1]s/dir 2'
find %[1]s -exec touch -h -d '2020-02-02 02:02:02 UTC' {} +
rsync -a %[1]s/ $MNT/rsync/
cp -a %[1]s $MNT/cp
mkdir $MNT/tar
tar c -C %[1]s . | tar x -p -C $MNT/tar`, tree))
	again := posixMount(t, b)
	for _, name := range []string{"rsync", "cp", "tar"} {
		if got := again.shell(fmt.Sprintf(`rsync -a -i --dry-run %s/ $MNT/%s/`, tree, name)); got != "" {
			t.Errorf("%s differs:\n%s", name, got)
		}
	}
}
