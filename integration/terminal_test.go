package integration

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore/cwsim"
)

// terminal is a pseudo terminal, as a program sees it that somebody looks at.
type terminal struct {
	t      *testing.T
	screen *os.File // the side of who looks
	line   *os.File // the side of the program

	mu   sync.Mutex // guards sent
	sent strings.Builder
	over chan struct{} // closed when all of it has come
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	screen := must[*os.File](t)(os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0))
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number := must[int](t)(unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN))
	line := must[*os.File](t)(os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0))
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, screen: screen, line: line, over: make(chan struct{})}
}

// start runs a command at the terminal, with its own session, so that Ctrl-C is a signal for it.
func (s *terminal) start(cmd *exec.Cmd) {
	s.t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.line, s.line, s.line
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.line.Close()
	go func() {
		defer close(s.over)
		piece := make([]byte, 4<<10)
		for {
			n, err := s.screen.Read(piece)
			s.mu.Lock()
			s.sent.Write(piece[:n])
			s.mu.Unlock()
			if err != nil { // EIO when the program has gone
				return
			}
		}
	}()
}

// text is all that was sent.
func (s *terminal) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String()
}

// erase is what has a line be empty.
var erase = regexp.MustCompile("\x1b\\[2?K")

// onScreen are the lines that are left on a screen, as far as carriage returns and erasures go.
func onScreen(text string) (lines []string) {
	for line := range strings.SplitSeq(text, "\n") {
		var cells []rune
		at := 0
		for piece := range strings.SplitSeq(erase.ReplaceAllString(line, "\x00"), "") {
			switch piece {
			case "\r":
				at = 0
			case "\x00":
				cells = cells[:0]
			default:
				for len(cells) <= at {
					cells = append(cells, ' ')
				}
				cells[at] = []rune(piece)[0]
				at++
			}
		}
		if left := strings.TrimRight(string(cells), " "); left != "" {
			lines = append(lines, left)
		}
	}
	return lines
}

// barShown is a bar with a rate and the time left; barLeft is what one leaves when it is not taken away.
var (
	barShown = regexp.MustCompile(`\d+% \|█+ *\|.*/(?:s|min|hr)\) \[[0-9ms]+:[0-9ms]+\]`)
	barLeft  = regexp.MustCompile(`[|█%]|\[[0-9ms]+:`)
)

// atTerminal runs a command at a terminal, until Ctrl-C when a bar is seen if it is to be interrupted, and returns what
// is left on the screen.
func (l *lota) atTerminal(interrupt bool, code int, args ...string) []string {
	l.t.Helper()
	s := newTerminal(l.t)
	cmd := exec.Command(must[string](l.t)(shared.raced()), args...)
	cmd.Env = append(os.Environ(), l.environment...)
	s.start(cmd)
	if interrupt {
		eventually(l.t, patience, "a bar", func() bool { return barShown.MatchString(s.text()) })
		if _, err := s.screen.WriteString("\x03"); err != nil {
			l.t.Error(err)
		}
	}
	_ = cmd.Wait() // its code is looked at
	<-s.over
	lines := onScreen(s.text())
	if got := cmd.ProcessState.ExitCode(); got != code || !barShown.MatchString(s.text()) {
		l.t.Errorf("%q: exit code %d, should be %d: %q", args, got, code, s.text())
	}
	for _, line := range lines {
		if barLeft.MatchString(line) {
			l.t.Errorf("%q: left on the screen: %q, of %q", args, lines, s.text())
		}
	}
	return lines
}

// Commands that take long show a bar with a rate and the time left at a terminal, and nothing of it stays on the
// screen, also after Ctrl-C; elsewhere there is none.
func TestProgressAtTerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string
		objects int
		size    int64
		done    string
	}{
		"warm":      {[]string{"warm", "--lota", "--again"}, 20, large, "asked LOTA for 20 objects"},
		"restripe":  {[]string{"restripe", "--jobs", "1"}, 3, 65 * mib, "copied "},
		"replicate": {[]string{"replicate", "--copies", "2"}, 2, mib, "2 objects have 2 copies each"},
		"migrate":   {[]string{"keys", "migrate", "--jobs", "1"}, 12, mib, "moved "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLota(t, cwsim.Options{RequestCost: 200 * time.Millisecond})
			for i := range c.objects {
				l.put(fmt.Sprintf("set/%02d", i), c.size)
			}
			last := fmt.Sprintf("set/%02d", c.objects-1) // of which nothing is done until Ctrl-C
			release := l.Hold(func(r cwsim.Request) bool {
				return strings.HasSuffix(r.Key, last) && (r.Method == "PUT" || prestages(r))
			})
			args := append(c.args[:len(c.args):len(c.args)], "--endpoint", "http://cwlota.com", "--max-concurrency", "2", "s3://training/set")
			cut := l.atTerminal(true, 10, args...)
			if last := cut[len(cut)-1]; last != "headrace: interrupted: run it again to go on" {
				t.Errorf("after Ctrl-C: %q", cut)
			}
			release()
			if whole := l.atTerminal(false, 0, args...); !strings.Contains(whole[len(whole)-1], c.done) {
				t.Errorf("at the end: %q", whole)
			}
			if plain := l.run(0, "", args...); strings.ContainsAny(plain, "\r█\x1b") {
				t.Errorf("where nobody looks: %q", plain)
			}
		})
	}
}

// `headrace umount` shows how far storing is in the same way; Ctrl-C ends the waiting.
func TestUmountAtTerminal(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{Buckets: []cwsim.Bucket{{Name: lotaBucket, Away: true}}, FarLatency: 400 * time.Millisecond})
	for _, interrupt := range []bool{true, false} {
		m := l.mount("http://cwlota.com", "--write-back", "--max-concurrency", "2")
		for i := range 16 {
			m.write(strings.Repeat("x", 100_000), fmt.Sprint("file", i, interrupt))
		}
		code := 0
		if interrupt {
			code = 12
		}
		lines := l.atTerminal(interrupt, code, "umount", m.dir)
		if said := strings.Join(lines, "\n"); interrupt != strings.Contains(said, "headrace: unmounted; storing what was written goes on") || !interrupt && said != "" {
			t.Errorf("interrupted %v: %q", interrupt, lines)
		}
		eventually(t, patience, "the daemon to have stored all of it", m.ended)
	}
}
