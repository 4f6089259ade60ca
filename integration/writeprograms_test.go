package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// localTree makes a tree on a local disk: files of many sizes, directories in directories, an empty one, a program, odd names.
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

// sed -i, sort -o, gzip, dd and a shell's >> change files of the mount in place.
func TestFilters(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	b.putText("text", "b\na\nc\n")
	m.shell(`sed -i s/a/changed/ $MNT/text`)
	b.want("text", "b\nchanged\nc\n")
	m.shell(`sort -o $MNT/text $MNT/text`)
	b.want("text", "b\nc\nchanged\n")
	m.shell(`for i in 1 2 3; do echo $i >> $MNT/text; done`)
	b.want("text", "b\nc\nchanged\n1\n2\n3\n")
	m.shell(`printf X | dd of=$MNT/text bs=1 seek=2 conv=notrunc status=none`)
	b.want("text", "b\nX\nchanged\n1\n2\n3\n")
	m.shell(`gzip -k $MNT/text; rm $MNT/text; gunzip $MNT/text.gz`)
	b.want("text", "b\nX\nchanged\n1\n2\n3\n")
	m.shell(`tee $MNT/copy < $MNT/text >$MNT/second; cmp $MNT/copy $MNT/second; ln $MNT/copy $MNT/link 2>/dev/null && exit 1; install -m 600 $MNT/copy $MNT/installed`)
	b.want("installed", "b\nX\nchanged\n1\n2\n3\n")
	checkNames(t, m.names(), "copy", "installed", "second", "text")
}

// sqlite3 keeps a database on the mount; what it has committed is in the bucket.
func TestSqlite(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	if got := m.shell(`
sqlite3 $MNT/db 'create table t (n integer primary key, text)'
sqlite3 $MNT/db "begin; with recursive c(n) as (select 1 union all select n + 1 from c where n < 3000) insert into t select n, hex(randomblob(100)) from c; commit"
sqlite3 $MNT/db 'begin; delete from t where n > 2000; rollback'
sqlite3 $MNT/db 'delete from t where n % 2 = 0; vacuum'
sqlite3 $MNT/db 'pragma integrity_check; select count(*), sum(n) from t'
`); got != "ok\n1500|2250000\n" {
		t.Errorf("the database says %q", got)
	}
	checkNames(t, m.names(), "db")
	stored := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(stored, b.stored("db"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := m.shell(`sqlite3 ` + stored + ` 'pragma integrity_check; select count(*) from t'`); got != "ok\n1500\n" {
		t.Errorf("what is stored says %q", got)
	}
}

// Python programs save as training jobs do: an archive that is written with seeks (torch.save), a temporary file with fsync, chmod and rename (safetensors), an array that is mapped and changed in place (numpy.memmap), an event file that is appended to and flushed.
func TestPythonSaves(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	m.python(`
import io, mmap, os, struct, sys, tempfile, zipfile
os.chdir(sys.argv[1])
bucket = sys.argv[2]
def stored(name): return open(os.path.join(bucket, name), 'rb').read()

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
`, b.path(""))
}
