package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// crashVariable has this binary work on a staging root and be killed: "ROOT STEP", a step of 0 for whenever.
const crashVariable = "HEADRACE_TEST_CRASH"

func TestMain(m *testing.M) {
	if how := strings.Fields(os.Getenv(crashVariable)); len(how) == 2 {
		step, _ := strconv.Atoi(how[1])
		workUntilCrash(how[0], step)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// workUntilCrash takes an upload through its life again and again, and says on standard output after each step that it
// is done, until the process kills itself at a step or is killed.
func workUntilCrash(root string, step int) {
	done := 0
	try := func(what string, err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, what, err)
			os.Exit(1)
		}
		if _, err := fmt.Println(what); err != nil {
			os.Exit(1)
		}
		if done++; done == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	d, err := Create(root, ownerOf("bucket"))
	try("made", err)
	for range 1000 {
		u, err := d.Begin(Begin{Bucket: "bucket", Key: "key"})
		if err != nil {
			try("", err)
		}
		try("begun "+u.ID(), err)
		for _, s := range everyStep()[1:9] {
			try("noted "+s.name(), u.Note(s))
		}
		_, err = u.Data().WriteString("content")
		try("written", err)
		try("synced", u.Sync())
		for _, s := range everyStep()[10:14] {
			try("noted "+s.name(), u.Note(s))
		}
		try("removed", u.Remove())
	}
}

// crash runs this binary until it is dead, and returns what it said.
func crash(t *testing.T, root string, step int, after time.Duration) (said []string, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", crashVariable, root, step))
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	killed = errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatalf("step %d: %v: %s", step, err, failure.String())
	}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	return said, killed
}

// checkAfterCrash makes sure that what was said to be noted is there. A step more may be: it was done and not said.
func checkAfterCrash(t *testing.T, root string, said []string) {
	t.Helper()
	dirs, err := Leftovers(root, anybody)
	if err != nil || len(dirs) > 1 {
		t.Fatalf("after %v: %v %v", said, dirs, err)
	}
	from := 0
	for i, s := range said {
		if strings.HasPrefix(s, "begun") {
			from = i
		}
	}
	var records []Record
	if len(dirs) == 1 {
		if records, err = dirs[0].Uploads(); err != nil {
			t.Fatal(err)
		}
	}
	last := said[from:]
	switch begun := strings.HasPrefix(slices.Concat(last, []string{""})[0], "begun"); {
	case !begun || last[len(last)-1] == "removed":
		if len(records) > 1 || len(records) == 1 && state(records[0]) != state(Replay("", logOf(t, Begin{Key: "key"}))) {
			t.Errorf("after %q: %v", last, records)
		}
	case len(records) == 0:
		if last[len(last)-1] != "noted stored" {
			t.Errorf("after %q: it is gone", last)
		}
	default:
		checkRecord(t, dirs[0], records, last)
	}
	for _, r := range records {
		u, _, err := dirs[0].Resume(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dirs {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if names, err := os.ReadDir(root); err != nil || len(names) != 0 {
		t.Errorf("after %q: left %v %v", said, names, err)
	}
}

// checkRecord compares an upload with what was said of it.
func checkRecord(t *testing.T, d *Dir, records []Record, said []string) {
	t.Helper()
	id := strings.TrimPrefix(said[0], "begun ")
	noted := []Step{Begin{Bucket: "bucket", Key: "key"}}
	written := false
	for _, s := range said[1:] {
		if name, ok := strings.CutPrefix(s, "noted "); ok {
			at := slices.IndexFunc(everyStep(), func(s Step) bool { return s.name() == name })
			noted = append(noted, everyStep()[at])
		} else if s == "synced" {
			noted = append(noted, Synced{})
		}
		written = written || s == "written"
	}
	want := []string{state(Replay(id, logOf(t, noted...)))}
	if n := len(noted); n < 14 {
		want = append(want, state(Replay(id, logOf(t, append(noted, everyStep()[n])...))))
	}
	if len(records) != 1 || records[0].ID != id || !slices.Contains(want, state(records[0])) {
		t.Errorf("after %q: %+v, want one of %q", said, records, want)
	}
	if content, err := os.ReadFile(d.file(id + dataSuffix)); err != nil || written && string(content) != "content" {
		t.Errorf("after %q: the data is %q %v", said, content, err)
	}
}

// TestCrashPoints: a process killed after any step leaves a log that has it, and nothing that cannot be cleared.
func TestCrashPoints(t *testing.T) {
	root := filepath.Join(t.TempDir(), "staging")
	for step := 1; step <= 18; step++ {
		said, killed := crash(t, root, step, 0)
		if !killed || len(said) != step {
			t.Fatalf("step %d: killed %v after %q", step, killed, said)
		}
		checkAfterCrash(t, root, said)
	}
}

// TestKilled: the same, killed at any moment.
func TestKilled(t *testing.T) {
	root := filepath.Join(t.TempDir(), "staging")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		said, _ := crash(t, root, 0, time.Duration(5+i)*time.Millisecond)
		checkAfterCrash(t, root, said)
	}
}

// TestTornLine: what follows a line that was not written whole stands in a line of its own.
func TestTornLine(t *testing.T) {
	root := t.TempDir()
	d := create(t, root)
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Note(Truncate{5}); err != nil {
		t.Fatal(err)
	}
	torn := logOf(t, Truncate{6})
	if _, err := u.log.file.WriteAt(torn[:len(torn)-1], u.log.size); err != nil {
		t.Fatal(err)
	}
	again, r, err := d.Resume(u.ID())
	if err != nil || r.Size != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	if err := again.Note(Truncate{7}); err != nil {
		t.Fatal(err)
	}
	if records, err := d.Uploads(); err != nil || records[0].Size != 7 || records[0].Damage != nil {
		t.Errorf("%+v %v", records, err)
	}
}

// TestDamagedUpload: a damaged log is shown with what could be read, and not opened; data that is missing is damage
// too.
func TestDamagedUpload(t *testing.T) {
	d := create(t, t.TempDir())
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Note(Truncate{5}), u.Note(Truncate{6})); err != nil {
		t.Fatal(err)
	}
	if _, err := u.log.file.WriteAt([]byte("!"), u.log.size-3); err != nil {
		t.Fatal(err)
	}
	records, err := d.Uploads()
	if err != nil || len(records) != 1 || !errors.Is(records[0].Damage, ErrDamaged) || records[0].Size != 5 {
		t.Errorf("%+v %v", records, err)
	}
	if _, _, err := d.Resume(u.ID()); !errors.Is(err, ErrDamaged) {
		t.Errorf("resumed: %v", err)
	}
	other, err := d.Begin(Begin{Key: "l"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Note(Local{Range: objstore.Range{Len: 5}}), os.Remove(d.file(other.ID()+dataSuffix))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Resume(other.ID()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("resumed without data: %v", err)
	}
}

// TestFullDisk: a step that does not fit on the disk is an error and leaves the log as it was, so that others can
// follow when there is space.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("headrace-test", root, "tmpfs", 0, "size=32k,mode=0700"); err != nil {
		t.Fatalf("a small disk cannot be mounted (as root?): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d := create(t, root)
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Data().Write(make([]byte, 16<<10)); err != nil {
		t.Fatal(err)
	}
	size, failed := int64(0), 0
	for failed < 3 {
		if err := u.Note(Truncate{size + 1}); errors.Is(err, syscall.ENOSPC) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		} else if size++; size > 10_000 {
			t.Fatal("the disk is never full")
		}
	}
	if err := errors.Join(u.Data().Truncate(0), u.Note(Failed{"the disk was full"})); err != nil {
		t.Fatal(err)
	}
	if _, r, err := d.Resume(u.ID()); err != nil || r.Size != size || r.Reason == "" {
		t.Errorf("%d truncations: %+v %v", size, r, err)
	}
}

// TestBrokenLog: nothing follows a line that could neither be written whole nor taken back.
func TestBrokenLog(t *testing.T) {
	u, err := create(t, t.TempDir()).Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	sound := u.log.file
	if u.log.file, err = os.OpenFile("/dev/full", os.O_RDWR, 0); err != nil { // it takes no truncation either
		t.Fatal(err)
	}
	if err := u.Note(Truncate{5}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	u.log.file = sound
	if err := u.Note(Truncate{6}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}
