package s3server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func startForTest(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// answers asks for the health page with a deadline of its own.
func answers(t *testing.T, s *Server, deadline time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return healthy(ctx, &http.Transport{DisableKeepAlives: true}, s.Endpoint()+healthPath(s.options.Kind))
}

func alive(pid int) bool {
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	return err == nil
}

func TestStopEndsTheProcess(t *testing.T) {
	s := startForTest(t)
	if !answers(t, s, time.Minute) {
		t.Fatal("a started server does not answer")
	}
	pid := s.Pid()
	s.Stop()
	if alive(pid) {
		t.Error("the process is still there after Stop")
	}
	s.Stop()
}

func TestRestartKeepsPortAndData(t *testing.T) {
	s := startForTest(t)
	endpoint, pid := s.Endpoint(), s.Pid()
	s.Kill()
	if alive(pid) {
		t.Fatal("the process is still there after Kill")
	}
	if answers(t, s, time.Second) {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Endpoint() != endpoint || s.Pid() == pid {
		t.Errorf("after Restart: endpoint %s pid %d, before: %s pid %d", s.Endpoint(), s.Pid(), endpoint, pid)
	}
	if !answers(t, s, time.Minute) {
		t.Error("a restarted server does not answer")
	}
}

func TestStallKeepsConnectionsWithoutAnswers(t *testing.T) {
	s := startForTest(t)
	if err := s.Stall(); err != nil {
		t.Fatal(err)
	}
	if answers(t, s, 100*time.Millisecond) {
		t.Error("a stalled server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if !answers(t, s, time.Minute) {
		t.Error("a resumed server does not answer")
	}
}

func TestStopEndsAStalledServer(t *testing.T) {
	s := startForTest(t)
	if err := s.Stall(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if alive(s.Pid()) {
		t.Error("the process is still there")
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), Options{Dir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "versitygw did not start") {
		t.Errorf("start on a port in use: %v", err)
	}
}

func TestStartWithoutBinarySaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Chdir(t.TempDir())
	_, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if !errors.Is(err, ErrNoBinary) || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("got %v", err)
	}
}
