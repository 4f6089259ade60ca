package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eachWay runs programs on a mount as it is by default, and on one with --write-back. settle waits there until the
// bucket has what was written.
func eachWay(t *testing.T, run func(t *testing.T, b *bucket, m *mount, settle func()), flags ...string) {
	t.Parallel()
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		b := newBucket(t)
		run(t, b, mountBucket(t, b, flags...), func() {})
	})
	t.Run("write-back", func(t *testing.T) {
		t.Parallel()
		b := newBucket(t)
		m := mountBucket(t, b, append(flags, "--write-back")...)
		run(t, b, m, m.awaitStored)
	})
}

// awaitStored waits until the bucket has all that was written.
func (m *mount) awaitStored() {
	m.t.Helper()
	const pending = "headrace_upload_pending_files"
	eventually(m.t, 2*patience, "all to be stored", func() bool {
		now, known := m.counters(pending)[pending]
		return known && now == 0
	})
}

// cp -r, rsync -a and tar x put trees of files on the mount as on a local disk.
func TestTreesAreCopied(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	tree := localTree(t)
	for name, script := range map[string]string{
		"cp":     `cp -r TREE $MNT/cp`,
		"cp-a":   `cp -a TREE $MNT/cp-a`,
		"rsync":  `rsync -a TREE/ $MNT/rsync/`,
		"tar":    `mkdir $MNT/tar; tar c -C TREE . | tar x -C $MNT/tar`,
		"moved":  `cp -r TREE $MNT/first; mv $MNT/first $MNT/moved`,
		"inside": `cp -r TREE $MNT/inside-1; cp -r $MNT/inside-1 $MNT/inside; rm -r $MNT/inside-1`,
	} {
		m.shell(strings.ReplaceAll(script, "TREE", tree))
		m.shell(fmt.Sprintf(`diff -r %[1]s $MNT/%[2]s; diff -r %[1]s %[3]s`, tree, name, b.path(name)))
	}
	checkNames(t, m.names(), "cp", "cp-a", "inside", "moved", "rsync", "tar")
	m.shell(`rm -r $MNT/*`)
	checkNames(t, mountBucket(t, b).names())
}

// localTree makes a tree on a local disk: files of many sizes, directories in directories, an empty one, a program, odd
// names.
func localTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sizes := []int64{0, 1, 4096, 100_000, mib + 1}
	for i := range 40 {
		o := object{content: pattern(i), size: sizes[i%len(sizes)]}
		path := filepath.Join(dir, fmt.Sprintf("dir %d", i%4), strings.Repeat("deep/", i%3), fmt.Sprintf("file-%d é", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, o.bytes(), 0o644|os.FileMode(i%2)*0o111); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// git keeps a repository on the mount: init, add, commit, branches, gc, fsck, and a clone of it.
func TestGit(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	tree := localTree(t)
	m.shell(`
export HOME=$MNT GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b trunk $MNT/repository
cd $MNT/repository
cp -r ` + tree + `/. .
rmdir empty
git add .
git commit -q -m first
git status --porcelain | grep . && exit 1
git checkout -q -b other
echo more > "dir 1/more"
git rm -q -r "dir 2"
git add .
git commit -q -m second
git checkout -q trunk
git merge -q other
git gc -q
git fsck --strict | grep -v 'dangling\|notice' && exit 1
git clone -q $MNT/repository $MNT/clone
diff -r -x .git $MNT/repository $MNT/clone
test "$(git log --format=%s | tr '\n' ' ')" = "second first "
cd /
`)
	// Another mount, which knows nothing but what is in the bucket.
	mountBucket(t, b).shell(`cd $MNT/clone; export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git fsck --strict; test "$(git rev-list --count HEAD)" = 2; cd /`)
}

// With --write-back too cp -r, rsync -a and tar x make trees, and git a repository, of which the bucket has all in the
// end.
func TestTreesWithWriteBack(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b, "--write-back")
	tree := t.TempDir()
	for i := range 12 {
		dir := filepath.Join(tree, fmt.Sprint("dir ", i%3))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		o := object{content: pattern(i), size: int64(i * i * 1000)}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file-", i)), o.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.shell(strings.ReplaceAll(`
cp -r TREE $MNT/cp
rsync -a TREE/ $MNT/rsync/
mkdir $MNT/tar; tar c -C TREE . | tar x -C $MNT/tar
mv $MNT/tar $MNT/moved
export HOME=$MNT GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b trunk $MNT/repository
cp -r TREE/. $MNT/repository
cd $MNT/repository
git add .
git commit -q -m first
rm -r "dir 2"
git add .
git commit -q -m second
git fsck --strict
cd /
`, "TREE", tree))
	m.awaitStored()
	for _, name := range []string{"cp", "rsync", "moved"} {
		m.shell(fmt.Sprintf(`diff -r %[1]s $MNT/%[2]s; diff -r %[1]s %[3]s`, tree, name, b.path(name)))
	}
	mountBucket(t, b).shell(`cd $MNT/repository; export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git fsck --strict; test "$(git rev-list --count HEAD)" = 2; test -z "$(git status --porcelain)"; cd /`)
}

// sed -i, sort -o, gzip, dd and a shell's >> change files of the mount in place.
func TestFilters(t *testing.T) { eachWay(t, filters) }

func filters(t *testing.T, b *bucket, m *mount, settle func()) {
	want := func(key, content string) {
		t.Helper()
		settle()
		b.want(key, content)
	}
	b.putText("text", "b\na\nc\n")
	m.shell(`sed -i s/a/changed/ $MNT/text`)
	want("text", "b\nchanged\nc\n")
	m.shell(`sort -o $MNT/text $MNT/text`)
	want("text", "b\nc\nchanged\n")
	m.shell(`for i in 1 2 3; do echo $i >> $MNT/text; done`)
	want("text", "b\nc\nchanged\n1\n2\n3\n")
	m.shell(`printf X | dd of=$MNT/text bs=1 seek=2 conv=notrunc status=none`)
	want("text", "b\nX\nchanged\n1\n2\n3\n")
	m.shell(`gzip -k $MNT/text; rm $MNT/text; gunzip $MNT/text.gz`)
	want("text", "b\nX\nchanged\n1\n2\n3\n")
	m.shell(`tee $MNT/copy < $MNT/text >$MNT/second; cmp $MNT/copy $MNT/second; ln $MNT/copy $MNT/link 2>/dev/null && exit 1; install -m 600 $MNT/copy $MNT/installed`)
	want("installed", "b\nX\nchanged\n1\n2\n3\n")
	checkNames(t, m.names(), "copy", "installed", "second", "text")
}

// sqlite3 keeps a database on the mount, by each of its journals; what it has committed is in the bucket.
func TestSqlite(t *testing.T) { eachWay(t, sqlite) }

func sqlite(t *testing.T, b *bucket, m *mount, settle func()) {
	modes, names := []string{"delete", "memory", "wal"}, []string{"delete", "memory", "wal"}
	if strings.HasSuffix(t.Name(), "write-back") { // each is tried one way, and the default both
		modes, names = []string{"delete", "truncate", "persist"}, []string{"delete", "persist", "persist-journal", "truncate", "truncate-journal"}
	}
	for _, mode := range modes {
		if got := m.shell(strings.ReplaceAll(`
sq() { sqlite3 -cmd '.output /dev/null' -cmd 'pragma journal_mode=MODE' -cmd '.output stdout' $MNT/MODE "$1"; }
sq 'create table t (n integer primary key, text)'
sq "begin; with recursive c(n) as (select 1 union all select n + 1 from c where n < 1000) insert into t select n, hex(randomblob(100)) from c; commit"
sq 'begin; delete from t where n > 700; rollback'
sq 'delete from t where n % 2 = 0; vacuum'
sq 'pragma integrity_check; select count(*), sum(n) from t; pragma journal_mode'
`, "MODE", mode)); got != "ok\n500|250000\n"+mode+"\n" {
			t.Errorf("the database with %s says %q", mode, got)
		}
		settle()
		stored := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(stored, b.stored(mode), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := m.shell(`sqlite3 ` + stored + ` 'pragma integrity_check; select count(*) from t'`); got != "ok\n500\n" {
			t.Errorf("what is stored by %s says %q", mode, got)
		}
	}
	checkNames(t, m.names(), names...)
}

// An editor that moves what a file was out of the way, writes another, and removes the first, leaves the new one alone
// in the bucket.
func TestEditorSaves(t *testing.T) {
	eachWay(t, func(t *testing.T, b *bucket, m *mount, settle func()) {
		b.putText("text", "old")
		for _, content := range []string{"first", "second", "third and longer"} {
			m.python(`
import os, sys
os.chdir(sys.argv[1])
mode = os.stat('text').st_mode
if os.path.exists('text~'): os.unlink('text~')
os.rename('text', 'text~')
fd = os.open('text', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode & 0o777)
os.write(fd, sys.argv[2].encode())
os.fsync(fd)
os.close(fd)
os.chmod('text', mode & 0o777)
os.unlink('text~')
assert open('text').read() == sys.argv[2]
os.chdir('/')
`, content)
			settle()
			b.want("text", content)
		}
		checkNames(t, mountBucket(t, b).names(), "text")
	})
}

// A second rsync -a moves nothing, with --posix-metadata, where the first has not reached the bucket yet too.
func TestSecondRsync(t *testing.T) {
	eachWay(t, func(t *testing.T, b *bucket, m *mount, settle func()) {
		tree := localTree(t)
		script := fmt.Sprintf(`rsync -a -i %s/ $MNT/copy/`, tree)
		m.shell(`find ` + tree + ` -exec touch -h -d '2020-02-02 02:02:02 UTC' {} +`)
		m.shell(script)
		if got := m.shell(script); got != "" {
			t.Errorf("the second has moved:\n%s", got)
		}
		settle()
		m.shell(fmt.Sprintf(`diff -r %s %s`, tree, b.path("copy")))
	}, "--posix-metadata")
}

// What two processes write to a file under flock(1), each after what it has read, adds up.
func TestFlockedCounter(t *testing.T) {
	eachWay(t, func(t *testing.T, b *bucket, m *mount, settle func()) {
		m.write("0", "counter")
		m.shell(`
count() { for i in 1 2 3 4 5 6 7 8 9 10; do flock $MNT/lock sh -c 'n=$(cat $MNT/counter); echo $((n + 1)) > $MNT/counter'; done; }
count & first=$!
count
wait $first
`)
		settle()
		b.want("counter", "20\n")
	})
}

// Python programs save as training jobs do: an archive that is written with seeks (torch.save), a temporary file with
// fsync, chmod and rename (safetensors), an array that is mapped and changed in place (numpy.memmap), an event file
// that is appended to and flushed.
func TestPythonSaves(t *testing.T) {
	eachWay(t, func(t *testing.T, b *bucket, m *mount, settle func()) {
		m.python(pythonSaves, b.path(""), fmt.Sprint(strings.HasSuffix(t.Name(), "write-back")))
		settle()
		m.shell(`diff -r -x .sgwtmp $MNT ` + b.path(""))
	})
}

// pythonSaves looks into the bucket as well, unless that is to have it later.
const pythonSaves = `
import io, mmap, os, struct, sys, tempfile, zipfile
os.chdir(sys.argv[1])
bucket, write_back = sys.argv[2], sys.argv[3] == 'true'
def stored(name): return open(os.path.join('.' if write_back else bucket, name), 'rb').read()

tensor = os.urandom(3 << 20)
with zipfile.ZipFile('checkpoint.pt', 'w', zipfile.ZIP_STORED) as z: # whose headers are written again after the data
    for i in range(5):
        with z.open(f'archive/data/{i}', 'w') as f: f.write(tensor)
for archive in (zipfile.ZipFile('checkpoint.pt'), zipfile.ZipFile(io.BytesIO(stored('checkpoint.pt')))):
    assert archive.testzip() is None and archive.read('archive/data/4') == tensor

os.mkdir('run')
for step in range(3):
    fd, temporary = tempfile.mkstemp(dir='run')
    with os.fdopen(fd, 'wb') as f:
        f.write(tensor[step:])
        f.flush()
        os.fsync(f.fileno())
        os.fchmod(f.fileno(), 0o644)
    os.replace(temporary, 'run/model.safetensors')
    assert stored('run/model.safetensors') == tensor[step:]
assert os.listdir('run') == ['model.safetensors']

with open('array', 'wb') as f: f.truncate(1 << 20)
with open('array', 'r+b') as f:
    array = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_WRITE)
for i in range(0, 1 << 20, 4096): array[i:i+8] = struct.pack('<q', i)
array.flush()
with open('array', 'r+b') as f: os.fsync(f.fileno())
assert struct.unpack('<q', stored('array')[40960:40968])[0] == 40960
del array

events = open('events', 'ab')
want = b''
for step in range(10):
    record = os.urandom(1000)
    events.write(record)
    events.flush()
    os.fsync(events.fileno())
    want += record
    assert stored('events') == want and open('events', 'rb').read() == want
events.close()
os.chdir('/')
`
