package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeMount is busy until freed is closed.
type fakeMount struct {
	freed   chan struct{}
	gone    chan struct{}
	tries   int
	aborted bool
}

func newFakeMount() *fakeMount {
	return &fakeMount{freed: make(chan struct{}), gone: make(chan struct{})}
}

func (m *fakeMount) Wait() { <-m.gone }

func (m *fakeMount) Unmount() error {
	m.tries++
	select {
	case <-m.freed:
		close(m.gone)
		return nil
	default:
		return syscall.EBUSY
	}
}

func (m *fakeMount) Abort() {
	m.aborted = true
	close(m.gone)
}

func TestMountEndsBySignalsOrByItself(t *testing.T) {
	for name, c := range map[string]struct {
		script  func(m *fakeMount, signals chan os.Signal)
		after   time.Duration
		code    int
		aborted bool
		logs    string
	}{
		"somebody else unmounts": {func(m *fakeMount, _ chan os.Signal) { close(m.gone) }, 0, exitOK, false, "unmounted"},
		"a signal": {func(m *fakeMount, s chan os.Signal) {
			close(m.freed)
			s <- syscall.SIGTERM
		}, 0, exitOK, false, "signal=terminated"},
		"busy for three seconds": {func(m *fakeMount, s chan os.Signal) {
			s <- syscall.SIGTERM
			time.Sleep(3*time.Second - time.Millisecond)
			close(m.freed)
		}, 3 * time.Second, exitOK, false, "holders="},
		"busy, and somebody else unmounts": {func(m *fakeMount, s chan os.Signal) {
			s <- syscall.SIGTERM
			time.Sleep(time.Second)
			close(m.gone)
		}, time.Second, exitOK, false, "cannot unmount yet"},
		"busy for good": {func(_ *fakeMount, s chan os.Signal) { s <- syscall.SIGTERM }, busyGrace, exitBusy, true, "unmounted while in use"},
		"busy, and a second signal": {func(_ *fakeMount, s chan os.Signal) {
			s <- syscall.SIGINT
			time.Sleep(time.Second)
			s <- syscall.SIGINT
		}, time.Second, exitBusy, true, "unmounted while in use"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				m, signals, start := newFakeMount(), make(chan os.Signal), time.Now()
				go c.script(m, signals)
				err := waitUnmounted(m, "/no/such/mount", signals, slog.New(newHandler(&out, "text", "info")))
				if exitCode(err) != c.code || m.aborted != c.aborted || time.Since(start) != c.after {
					t.Errorf("%v after %v, aborted %v; want code %d after %v, aborted %v", err, time.Since(start), m.aborted, c.code, c.after, c.aborted)
				}
				if !strings.Contains(out.String(), c.logs) {
					t.Errorf("%q is not in the log: %s", c.logs, out.String())
				}
			})
		})
	}
}

func TestPathsDoNotDependOnTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o := daemonOptions{logFile: "log", metrics: "unix:metrics"}
	if err := o.absolute(); err != nil || o.logFile != here+"/log" || o.metrics != "unix:"+here+"/metrics" {
		t.Errorf("%+v, %v", o, err)
	}
	o = daemonOptions{metrics: "127.0.0.1:9100"}
	if err := o.absolute(); err != nil || o.metrics != "127.0.0.1:9100" || o.logFile != "" {
		t.Errorf("%+v, %v", o, err)
	}
}
