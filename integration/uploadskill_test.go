package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// killAtRequest has the daemon be killed at a request that changes the bucket: before the server gets it, or when it
// has answered and the daemon has not heard it.
func (p *proxy) killAtRequest(m *mount, step int, done bool) *fault {
	return p.inject(&fault{changes: true, skip: step, times: 1, act: func(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
		if done {
			next.ServeHTTP(discardAnswer{header: make(http.Header)}, r)
		}
		m.cmd.Process.Kill()
		panic(http.ErrAbortHandler)
	}})
}

// discardAnswer is where an answer goes that nobody is to hear.
type discardAnswer struct{ header http.Header }

func (d discardAnswer) Header() http.Header         { return d.header }
func (d discardAnswer) WriteHeader(int)             {}
func (d discardAnswer) Write(p []byte) (int, error) { return len(p), nil }

// crashScript changes a bucket in every way there is. It prints what was acknowledged, a line each, and goes on after
// errors.
const crashScript = `
import os, sys
os.chdir(sys.argv[1])
def put(name, content, how='wb'):
    with open(name, how, buffering=0) as f:
        for i in range(0, len(content), 1 << 20):
            f.write(content[i:i+(1<<20)])
    print('put', name, len(content), flush=True)
try:
    put('small', b's' * 1000)
    put('old', b'new' * 1000)
    put('large', b'l' * (65 << 20))
    with open('base', 'r+b', buffering=0) as f:
        f.seek(10 << 20)
        f.write(b'changed')
    print('changed base', flush=True)
    put('temporary', b't' * 5000)
    os.rename('temporary', 'final')
    print('renamed final', flush=True)
    os.mkdir('dir')
    for i in range(3):
        put('dir/%d' % i, b'd' * (i + 1))
    os.rename('dir', 'moved')
    print('renamed moved', flush=True)
    os.remove('gone')
    print('removed gone', flush=True)
except OSError as e:
    sys.exit(3)
`

// Killed at any request that changes the bucket, before or after the store has done it, a mount loses nothing that was
// acknowledged and damages nothing that was there; the next mount finishes what was closed and what was being renamed,
// and leaves no multipart upload.
func TestKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint("done ", done), func(t *testing.T) {
			t.Parallel()
			for step := 0; killedAt(t, step, done); step++ {
				if step > 60 {
					t.Fatal("the script does not come to an end")
				}
			}
		})
	}
}

// So it is with `--write-back`, where what was acknowledged may be on the local disk alone: the next mount stores it,
// under the name that it had been given.
func TestKilledAtEveryRequestOfWriteBack(t *testing.T) {
	t.Parallel()
	for step := 0; killedAt(t, step, step%2 > 0, "--write-back"); step += 3 { // a third, before and after by turns: TestKilledAtEveryRequest is at each
		if step > 60 {
			t.Fatal("the script does not come to an end")
		}
	}
}

// killedAt runs the script up to a request, and reports whether it was killed there.
func killedAt(t *testing.T, step int, done bool, flags ...string) bool {
	t.Helper()
	when := fmt.Sprintf("request %d, done %v %v", step, done, flags)
	b := newBucket(t)
	s := newStaged(t, b)
	p := newProxy(t, b.server.Endpoint())
	s.endpoint, s.binary = p.endpoint(), shared.plain // the race detector has its turn elsewhere, and would make this three times as long
	base := b.put("base", 1, 66<<20)
	b.putText("old", "old")
	b.putText("gone", "gone")
	m := s.mount(b, p.endpoint(), flags...)
	kill := p.killAtRequest(m, step, done)
	script := start(t, exec.Command("python3", "-c", crashScript, m.dir))
	script.await(4 * patience)
	if len(flags) > 0 { // what is stored afterwards may be what it is killed at
		eventually(t, patience, "all to be stored, or the daemon to be dead", func() bool {
			code, left, _ := s.uploads("ls", "--json") // which fails if it dies meanwhile
			return kill.hits() > 0 || code == 0 && left == ""
		})
	}
	killed := kill.hits() > 0
	if killed {
		m.exitCode = -1
		<-m.gone
		unix.Unmount(m.dir, unix.MNT_DETACH)
	}
	if !killed && script.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("%s: the script failed: %s", when, script.stderr.String())
	}
	if !killed {
		return false
	}
	again := s.mount(b, p.endpoint(), flags...)
	if len(flags) > 0 {
		eventually(t, patience, when+": what was acknowledged to be stored", func() bool {
			return !slices.ContainsFunc(s.list(), func(one unstored) bool { return one.State != "kept" })
		})
	}
	for _, one := range s.list() {
		if one.State != "kept" {
			t.Errorf("%s: left is %+v", when, one)
		}
		s.do("abort", one.ID)
	}
	checkAfterKill(t, when, b, script.stdout.String(), base)
	eventually(t, patience, when+": no multipart upload to be left", func() bool { return len(b.multipartUploads()) == 0 })
	again.finish(syscall.SIGTERM)
	return true
}

// checkAfterKill compares the bucket with what the script was told.
func checkAfterKill(t *testing.T, when string, b *bucket, told string, base object) {
	t.Helper()
	check := func(line, key, piece string, times int) {
		t.Helper()
		got, maybe := b.stored(key), !strings.Contains(told, line)
		if maybe && len(got) == 0 { // it may be there or not
			return
		}
		if len(got) != len(piece)*times || len(bytes.ReplaceAll(got, []byte(piece), nil)) > 0 {
			t.Errorf("%s: told were\n%s%s has %d bytes (%.10q)", when, told, key, len(got), got)
		}
	}
	check("put small", "small", "s", 1000)
	check("put large", "large", strings.Repeat("l", 1<<20), 65)
	if strings.Contains(told, "put old") {
		check("put old", "old", "new", 1000)
	} else if got := string(b.stored("old")); got != "old" && got != strings.Repeat("new", 1000) {
		t.Errorf("%s: what was there before is damaged: %.10q", when, got)
	}
	content := b.stored("base")
	if int64(len(content)) != base.size {
		t.Fatalf("%s: the large object has %d bytes", when, len(content))
	}
	changed := content[10<<20 : 10<<20+7]
	if err := base.check(changed, 10<<20); err != nil && string(changed) != "changed" || err == nil && strings.Contains(told, "changed base") {
		t.Errorf("%s: the large object has %q where it was changed", when, changed)
	}
	if err := base.check(content[10<<20+7:], 10<<20+7); err != nil {
		t.Errorf("%s: the large object is damaged: %v", when, err)
	}
	if strings.Contains(told, "put temporary") {
		temporary, final := b.stored("temporary"), b.stored("final")
		one := len(temporary) == 5000 && (final == nil || len(final) == 5000) || temporary == nil && len(final) == 5000
		if !one || strings.Contains(told, "renamed final") && (temporary != nil || final == nil) {
			t.Errorf("%s: told were\n%sthe renamed file has %d bytes under its old name and %d under its new one", when, told, len(temporary), len(final))
		}
	}
	for i := range 3 {
		if !strings.Contains(told, fmt.Sprintf("put dir/%d", i)) {
			continue
		}
		want, before, after := strings.Repeat("d", i+1), string(b.stored(fmt.Sprint("dir/", i))), string(b.stored(fmt.Sprint("moved/", i)))
		if before+after != want || strings.Contains(told, "renamed moved") && after != want {
			t.Errorf("%s: told were\n%sdir/%d has %q, moved/%d has %q", when, told, i, before, i, after)
		}
	}
	if strings.Contains(told, "removed gone") && b.stored("gone") != nil {
		t.Errorf("%s: what was removed is there", when)
	}
}
