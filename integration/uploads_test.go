package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
)

// staged is a staging directory of one test.
type staged struct {
	t        *testing.T
	dir      string
	endpoint string
	binary   func() (string, error) // nil: the one with the race detector
}

func newStaged(t *testing.T, b *bucket) *staged {
	t.Helper()
	s := &staged{t: t, dir: filepath.Join(shared.dir, shared.names("staged")), endpoint: b.server.Endpoint()}
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(s.dir, "*")); err != nil || len(left) > 0 {
			inside, _ := filepath.Glob(filepath.Join(s.dir, "*", "*"))
			t.Errorf("the staging directory has %v, %v", inside, err)
		}
	})
	return s
}

// mount mounts the bucket with this staging directory. What a crash has left is warned of.
func (s *staged) mount(b *bucket, endpoint string, flags ...string) *mount {
	s.t.Helper()
	flags = append(flags, "--staging-dir", s.dir)
	return startMount(s.t, mountSpec{source: b.source(), endpoint: endpoint, flags: flags, binary: s.binary, provoked: slog.LevelError})
}

// unstored is a line of `headrace uploads ls --json`.
type unstored struct {
	ID, State, Key, Reason string
	Size, Sent             int64
	Mounted                bool
}

// uploads runs `headrace uploads` and returns its exit code and what it printed.
func (s *staged) uploads(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	args = append([]string{"uploads", "--staging-dir", s.dir, "--endpoint", s.endpoint}, args...)
	build := s.binary
	if build == nil {
		build = shared.raced
	}
	p := start(s.t, exec.Command(must[string](s.t)(build()), args...))
	p.await(2 * patience)
	return p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()
}

// do runs `headrace uploads`, which must succeed.
func (s *staged) do(args ...string) string {
	s.t.Helper()
	code, stdout, stderr := s.uploads(args...)
	if code != 0 || stderr != "" {
		s.t.Fatalf("uploads %v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

// list is what is not stored.
func (s *staged) list() (all []unstored) {
	s.t.Helper()
	for line := range strings.Lines(s.do("ls", "--json")) {
		var one unstored
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// only is the one thing that is not stored.
func (s *staged) only(state string) unstored {
	s.t.Helper()
	all := s.list()
	if len(all) != 1 || all[0].State != state {
		s.t.Fatalf("not stored are %+v, should be one that is %s", all, state)
	}
	return all[0]
}

// multipartUploads are the keys of those that the server knows.
func (b *bucket) multipartUploads() (keys []string) {
	b.t.Helper()
	ctx := context.Background()
	client, err := s3store.New(ctx, s3store.Config{Endpoint: b.server.Endpoint(), Region: "us-east-1"})
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	raw, err := client.Bucket(ctx, b.name)
	if err != nil {
		b.t.Fatal(err)
	}
	for u, err := range objstore.Bucket(raw).ListUploads(ctx, "") {
		if err != nil {
			b.t.Fatal(err)
		}
		keys = append(keys, u.Key)
	}
	return keys
}

// An unclosed file is kept when the mount's process is killed: `headrace uploads` shows it, writes it to a file, stores
// it, or gives it up; no multipart upload of it is left in the bucket.
func TestUnclosedAfterKill(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		for _, action := range []string{"recover to a file", "recover to a key", "retry", "abort"} {
			t.Run(fmt.Sprint(action, map[bool]string{true: ", mounted again", false: ", not mounted"}[live]), func(t *testing.T) {
				t.Parallel()
				b := newBucket(t)
				s := newStaged(t, b)
				m := s.mount(b, b.server.Endpoint())
				content := noise(70<<20, 1)
				f := m.openFile(os.O_CREATE|os.O_RDWR, "file")
				if _, err := f.Write(content); err != nil {
					t.Fatal(err)
				}
				eventually(t, patience, "a part to be sent", func() bool { return s.only("writing").Sent > 0 })
				m.finish(syscall.SIGKILL)
				if got := b.stored("file"); got != nil {
					t.Errorf("%d bytes are stored", len(got))
				}
				if live {
					s.mount(b, b.server.Endpoint())
					if left := b.multipartUploads(); len(left) > 0 {
						t.Errorf("multipart uploads are left: %q", left)
					}
				}
				one := s.only("kept")
				if one.Mounted != live || one.Size != int64(len(content)) || one.Key != "file" {
					t.Errorf("it is %+v", one)
				}
				if text := s.do("show", one.ID); !strings.Contains(text, "file") || !strings.Contains(text, "kept") {
					t.Errorf("show says %s", text)
				}
				switch action {
				case "recover to a file":
					to := filepath.Join(t.TempDir(), "to")
					s.do("recover", one.ID, "--to", to)
					if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, content) {
						t.Errorf("the file has %d bytes, %v", len(got), err)
					}
					if code, _, _ := s.uploads("recover", one.ID, "--to", to); code == 0 {
						t.Error("it was written over a file that was there")
					}
					s.do("abort", one.ID)
				case "recover to a key":
					s.do("recover", one.ID, "--to", b.source()+"/dir/other")
					if !bytes.Equal(b.stored("dir/other"), content) {
						t.Error("something else is stored")
					}
				case "retry":
					s.do("retry", one.ID)
					if !bytes.Equal(b.stored("file"), content) {
						t.Error("something else is stored")
					}
				case "abort":
					s.do("abort", one.ID)
					b.want("file", "")
				}
				if all := s.list(); len(all) > 0 {
					t.Errorf("left are %+v", all)
				}
				if left := b.multipartUploads(); len(left) > 0 {
					t.Errorf("multipart uploads are left: %q", left)
				}
				if code, _, _ := s.uploads("show", one.ID); code == 0 {
					t.Error("it is still there")
				}
			})
		}
	}
}

// When somebody else has replaced an object meanwhile, close is ESTALE, theirs stays, and what was written here is kept
// for `headrace uploads`.
func TestLostRace(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	s := newStaged(t, b)
	b.putText("file", "old")
	m := s.mount(b, b.server.Endpoint())
	f := m.openFile(os.O_RDWR, "file")
	if _, err := f.WriteString("mine"); err != nil {
		t.Fatal(err)
	}
	b.putText("file", "theirs")
	if err := f.Sync(); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Errorf("fsync: %v", err)
	}
	f.Close()
	b.want("file", "theirs")
	one := s.only("conflict")
	if code, _, stderr := s.uploads("retry", one.ID); code != 12 || !strings.Contains(stderr, "--replace") {
		t.Errorf("retry: exit code %d: %s", code, stderr)
	}
	m.finish(syscall.SIGTERM)
	m = s.mount(b, b.server.Endpoint())
	if got := m.read("file"); got != "theirs" {
		t.Errorf("it reads %q", got)
	}
	s.do("retry", "--replace", s.only("conflict").ID)
	b.want("file", "mine")
	eventually(t, patience, "the mount to see it", func() bool { return m.read("file") == "mine" })
}

// With `--write-back`, close and fsync return when the data is safe on the local disk; the bucket gets it afterwards,
// also when the process is killed in between.
func TestWriteBackAfterKill(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	s := newStaged(t, b)
	p := newProxy(t, b.server.Endpoint())
	m := s.mount(b, p.endpoint(), "--write-back")
	p.inject(&fault{operation: http.MethodPut, act: hold()})
	want := map[string]string{"small": "small", "large": string(noise(70<<20, 2)), "empty": ""}
	for name, content := range want {
		m.write(content, name)
	}
	if all := s.list(); len(all) != len(want) {
		t.Errorf("not stored are %+v", all)
	}
	if got := m.read("small"); got != "small" {
		t.Errorf("before it is stored it reads %q", got)
	}
	m.finish(syscall.SIGKILL)
	if got := b.stored("small"); got != nil {
		t.Errorf("%q is stored", got)
	}
	p.heal()
	m = s.mount(b, p.endpoint(), "--write-back")
	eventually(t, 2*patience, "all to be stored", func() bool { return len(s.list()) == 0 })
	for name, content := range want {
		if got := m.read(name); got != content {
			t.Errorf("%s: after a remount %d bytes are read, should be %d", name, len(got), len(content))
		}
		if got := b.stored(name); string(got) != content {
			t.Errorf("%s: %d bytes are stored, should be %d", name, len(got), len(content))
		}
	}
	if left := b.multipartUploads(); len(left) > 0 {
		t.Errorf("multipart uploads are left: %q", left)
	}
}

// Unmounting stores what is left, and says what could not be stored and where it is kept; a second signal ends the
// process at once.
func TestUnmountStores(t *testing.T) {
	t.Parallel()
	for _, patient := range []bool{true, false} {
		t.Run(fmt.Sprint("patient ", patient), func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			s := newStaged(t, b)
			p := newProxy(t, b.server.Endpoint())
			m := s.mount(b, p.endpoint(), "--write-back")
			p.inject(&fault{operation: http.MethodPut, act: hold()})
			m.write("content", "file")
			if patient {
				umount := start(t, exec.Command(must[string](t)(shared.raced()), "umount", m.dir))
				eventually(t, patience, "the mount to be gone", func() bool { return !isMounted(m.dir) })
				time.Sleep(300 * time.Millisecond)
				if umount.ended() {
					t.Errorf("umount has ended: %s", umount.stderr.String())
				}
				p.heal()
				umount.await(patience)
				if code := umount.cmd.ProcessState.ExitCode(); code != 0 {
					t.Errorf("umount: exit code %d: %s", code, umount.stderr.String())
				}
				b.want("file", "content")
				return
			}
			m.exitCode, m.says = 12, s.dir
			m.cmd.Process.Signal(syscall.SIGTERM)
			eventually(t, patience, "the mount to be gone", func() bool { return !isMounted(m.dir) })
			time.Sleep(300 * time.Millisecond)
			if m.ended() {
				t.Error("it has not waited")
			}
			m.cmd.Process.Signal(syscall.SIGTERM)
			eventually(t, patience, "the process to end", m.ended) // alone it would wait for as long as --close-timeout says
			if one := s.only("waiting"); one.Key != "file" {
				t.Errorf("it is %+v", one)
			}
			p.heal()
			s.mount(b, p.endpoint())
			b.want("file", "content")
		})
	}
}

// A store that takes nothing is not waited for longer than `--close-timeout`, and the exit code and the message say
// what is left, and where.
func TestUnmountGivesUp(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	s := newStaged(t, b)
	p := newProxy(t, b.server.Endpoint())
	m := s.mount(b, p.endpoint(), "--write-back", "--close-timeout", "2s")
	p.inject(&fault{operation: http.MethodPut, act: hold()})
	m.write("content", "file")
	m.exitCode, m.says = 12, s.dir
	m.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, patience, "the process to end by itself", m.ended)
	if one := s.only("waiting"); one.Key != "file" {
		t.Errorf("it is %+v", one)
	}
	p.heal()
	s.mount(b, p.endpoint())
	b.want("file", "content")
}
