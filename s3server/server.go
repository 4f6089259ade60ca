package s3server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// startDeadline bounds a start. MinIO formats its directory first and takes some seconds on a busy machine.
	startDeadline = 30 * time.Second
	// startPoll is how often a starting server is asked whether it serves: well below the tenth of a second it takes.
	startPoll = 10 * time.Millisecond
	// stopGrace is how long a server may take to end after SIGTERM before it is killed.
	stopGrace = 3 * time.Second
	// portAttempts: a free port may be taken between the question and the server's bind, though hardly twice in a row.
	portAttempts = 3
)

// Options says what to run. Dir is required, the rest has defaults.
type Options struct {
	Kind      Kind
	Dir       string    // where objects are kept; made when it does not exist, and never removed
	Port      int       // on 127.0.0.1; 0 chooses a free one
	AccessKey string    // default "headrace"
	SecretKey string    // default "headrace-secret"
	Region    string    // default "us-east-1"
	Log       io.Writer // gets what the server prints, its request log included; nil for nothing
}

func (o Options) withDefaults() Options {
	if o.AccessKey == "" {
		o.AccessKey = "headrace"
	}
	if o.SecretKey == "" {
		o.SecretKey = "headrace-secret"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	return o
}

// Server is one server process, and the next ones after it when it is restarted. Its methods may be called from several
// goroutines; those that change its state one at a time.
type Server struct {
	options Options
	binary  string
	port    int

	mu    sync.Mutex // guards child
	child *child     // the running one, or the last that ran; never nil once Start has returned
}

// Start runs a server and returns once it answers. ctx bounds the start alone: the server runs until Stop, Kill, or the
// end of this process. [ErrNoBinary] when there is no binary to run.
func Start(ctx context.Context, options Options) (*Server, error) {
	options = options.withDefaults()
	binary, err := options.Kind.find()
	if err != nil {
		return nil, err
	}
	if options.Dir == "" {
		return nil, errors.New("s3server: no directory given")
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("s3server: %w", err)
	}
	s := &Server{options: options, binary: binary, port: options.Port}
	for attempt := 1; ; attempt++ {
		if options.Port == 0 {
			if s.port, err = freePort(); err != nil {
				return nil, err
			}
		}
		err = s.launch(ctx)
		if err == nil {
			return s, nil
		}
		if options.Port != 0 || attempt == portAttempts || ctx.Err() != nil {
			return nil, err
		}
	}
}

// Endpoint is the server's URL; it stays the same over restarts.
func (s *Server) Endpoint() string { return "http://" + loopback(s.port) }

// AccessKey and SecretKey are what the server accepts, Region what it says it is in, Dir where its objects are.
func (s *Server) AccessKey() string { return s.options.AccessKey }

// SecretKey belongs to AccessKey.
func (s *Server) SecretKey() string { return s.options.SecretKey }

// Region is the region that requests are signed for.
func (s *Server) Region() string { return s.options.Region }

// Dir is where the server keeps its objects.
func (s *Server) Dir() string { return s.options.Dir }

// Pid is the process id of the server that runs, or of the last that ran.
func (s *Server) Pid() int { return s.current().cmd.Process.Pid }

// Stop ends the server and waits for its end. It may be called again, and after Kill.
func (s *Server) Stop() { s.current().stop() }

// Kill ends the server as a crash would, and waits until it is gone: connections are reset, nothing is flushed.
func (s *Server) Kill() { s.current().kill() }

// Stall makes the server stop answering while its connections stay open, until Resume. It returns once all of the
// server's threads stand still: until then the last ones may still answer.
func (s *Server) Stall() error {
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, s.Pid(), nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == nil || !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Resume lets a stalled server go on.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

// Restart runs the server again on the same port and directory and returns once it answers. One that still runs is
// stopped first.
func (s *Server) Restart(ctx context.Context) error {
	s.Stop()
	return s.launch(ctx)
}

func (s *Server) current() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

func (s *Server) signal(sig syscall.Signal) error {
	if err := s.current().cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("s3server: %w", err)
	}
	return nil
}

// launch starts a child and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	output := &tail{next: s.options.Log}
	cmd := s.options.Kind.command(s.binary, loopback(s.port), s.options)
	cmd.Stdout, cmd.Stderr = output, output
	c, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("s3server: %w", err)
	}
	if err := s.awaitHealthy(ctx, c); err != nil {
		c.kill()
		return fmt.Errorf("s3server: %s did not start: %w: %s", s.options.Kind, err, output.text())
	}
	s.mu.Lock()
	s.child = c
	s.mu.Unlock()
	return nil
}

// awaitHealthy polls the server until it answers, it ends, or ctx does.
func (s *Server) awaitHealthy(ctx context.Context, c *child) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ended, cancel)() // whoever else answers on that port is not our child
	transport := &http.Transport{DisableKeepAlives: true}
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for {
		if healthy(ctx, transport, s.Endpoint()+healthPath(s.options.Kind)) && c.ended.Err() == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			if c.ended.Err() != nil {
				return errors.New("it ended")
			}
			return ctx.Err()
		}
	}
}

func healthy(ctx context.Context, transport *http.Transport, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// child is one process and the goroutine that waits for it.
type child struct {
	cmd   *exec.Cmd
	ended context.Context // done once the process has been waited for
}

// startChild runs cmd so that it dies with this process. The goroutine holds its thread for the child's whole life: the
// kernel sends the death signal when the thread that made the child ends, and Go ends threads as it likes.
func startChild(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // Ctrl-C is for this process, which ends it in order
	ended, end := context.WithCancel(context.Background())
	c := &child{cmd: cmd, ended: ended}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer end()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is of no interest: it was told to, or its absence is noticed
		}
	}()
	return c, <-started
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // fails only when it is gone already
	<-c.ended.Done()
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT) // a stalled one could not act on SIGTERM
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-c.ended.Done():
	case <-grace.C:
		c.kill()
	}
}

// freePort asks the kernel for a port nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return 0, fmt.Errorf("s3server: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
