package fs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A process must not touch the mount it serves, so whatever the tests do below one is done by a child: a system's
// own tool, or this test binary with childVariable set, which then is one of the functions in children.

const childVariable = "HEADRACE_FS_TEST_CHILD"

var children = map[string]func(args []string) error{
	"sum":        childSum,
	"write":      childWrite,
	"open":       childOpen,
	"flock":      childFlock,
	"range-lock": childRangeLock,
	"seekdir":    childSeekdir,
	"xattr":      childXattr,
	"reopen":     childReopen,
	"raw-read":   childRawRead,
	"idle-lock":  childIdleLock,
}

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "fusermount3" {
		os.Exit(fakeFusermount(os.Args[1:]))
	}
	if name := os.Getenv(childVariable); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a command of this binary.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	// The race detector otherwise has each child sleep for a second before it ends.
	cmd.Env = append(os.Environ(), childVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run runs a command to its end and returns what it wrote.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// started is a child that was started and has said on its output that it is where the test wants it.
type started struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// start starts a child and waits until it writes a byte.
func start(t *testing.T, cmd *exec.Cmd) *started {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s := &started{cmd: cmd, in: in, out: out}
	s.await(t)
	return s
}

func (s *started) await(t *testing.T) {
	t.Helper()
	if _, err := s.out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%v: %v", s.cmd.Args, err)
	}
}

// finish lets the child go on to its end.
func (s *started) finish(t *testing.T) {
	t.Helper()
	_ = s.in.Close()
	_, _ = io.Copy(io.Discard, s.out)
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%v: %v", s.cmd.Args, err)
	}
}

// gone kills the child and says how long it took to be gone.
func (s *started) gone(signal os.Signal) time.Duration {
	at := time.Now()
	_ = s.cmd.Process.Signal(signal)
	_, _ = io.Copy(io.Discard, s.out)
	_ = s.cmd.Wait()
	return time.Since(at)
}

// here tells the test that the child is where it should be; it then goes on when the test closes its input.
func here() {
	fmt.Print("h")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// childSum reads a file in every way there is and prints the hash, which all ways must agree on.
func childSum(args []string) error {
	want := ""
	for _, path := range args {
		for name, read := range map[string]func(*os.File, int) ([]byte, error){
			"read": readAll, "pread": readBackwards, "mmap shared": mapped(unix.MAP_SHARED), "mmap private": mapped(unix.MAP_PRIVATE),
			"sendfile": sent, "readv": vectored,
		} {
			if err := sumBy(path, name, os.O_RDONLY, read, &want); err != nil {
				return err
			}
		}
		if err := sumBy(path, "O_DIRECT", os.O_RDONLY|unix.O_DIRECT, direct, &want); err != nil {
			return err
		}
		fmt.Println(want)
		want = ""
	}
	return nil
}

func sumBy(path, name string, flags int, read func(*os.File, int) ([]byte, error), want *string) error {
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	data, err := read(file, int(info.Size()))
	if err != nil {
		return fmt.Errorf("%s of %s: %w", name, path, err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	if *want == "" {
		*want = sum
	}
	if sum != *want {
		return fmt.Errorf("%s of %s: %d bytes with another hash than by other means", name, path, len(data))
	}
	return nil
}

func readAll(file *os.File, _ int) ([]byte, error) { return io.ReadAll(file) }

func readBackwards(file *os.File, size int) ([]byte, error) {
	const step = 300_001
	data := make([]byte, size)
	for end := size; end > 0; end = max(0, end-step) {
		if _, err := file.ReadAt(data[max(0, end-step):end], int64(max(0, end-step))); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func mapped(kind int) func(*os.File, int) ([]byte, error) {
	return func(file *os.File, size int) ([]byte, error) {
		if size == 0 {
			return nil, nil
		}
		data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, kind)
		if err != nil {
			return nil, err
		}
		return bytes.Clone(data), unix.Munmap(data)
	}
}

func sent(file *os.File, size int) ([]byte, error) {
	copied, err := os.CreateTemp("", "sendfile")
	if err != nil {
		return nil, err
	}
	defer func() { _ = copied.Close(); _ = os.Remove(copied.Name()) }()
	for {
		n, err := unix.Sendfile(int(copied.Fd()), int(file.Fd()), nil, size+1)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return os.ReadFile(copied.Name())
		}
	}
}

func vectored(file *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	for off := 0; off < size; {
		rest := data[off:]
		n, err := unix.Readv(int(file.Fd()), [][]byte{rest[:min(len(rest), 1000)], rest[min(len(rest), 1000):]})
		if err != nil || n == 0 {
			return nil, fmt.Errorf("readv at %d: %d, %w", off, n, err)
		}
		off += n
	}
	return data, nil
}

func direct(file *os.File, size int) ([]byte, error) {
	raw := make([]byte, size+2*4096)
	start := 4096 - int(uintptr(unsafe.Pointer(&raw[0])))&4095
	room := (size + 4095) &^ 4095
	data := raw[start : start+room]
	for off := 0; off < size; {
		n, err := unix.Pread(int(file.Fd()), data[off:], int64(off))
		if err != nil || n == 0 {
			return nil, fmt.Errorf("pread at %d: %d, %w", off, n, err)
		}
		off += n
	}
	return data[:size], nil
}

// childWrite tries to change what is below a directory in every way, and prints what is not refused with EROFS.
func childWrite(args []string) error {
	dir, file := args[0], filepath.Join(args[0], args[1])
	for name, err := range map[string]error{
		"mkdir":       os.Mkdir(filepath.Join(dir, "new"), 0o755),
		"rmdir":       unix.Rmdir(filepath.Join(dir, args[2])),
		"unlink":      unix.Unlink(file),
		"rename":      os.Rename(file, filepath.Join(dir, "new")),
		"link":        os.Link(file, filepath.Join(dir, "new")),
		"symlink":     os.Symlink("x", filepath.Join(dir, "new")),
		"mkfifo":      unix.Mkfifo(filepath.Join(dir, "new"), 0o644),
		"chmod":       os.Chmod(file, 0o600),
		"chown":       os.Chown(file, 1, 1),
		"truncate":    os.Truncate(file, 0),
		"utimes":      os.Chtimes(file, time.Now(), time.Now()),
		"setxattr":    unix.Setxattr(file, "user.x", []byte("y"), 0),
		"removexattr": unix.Removexattr(file, "user.x"),
		"open write":  openWith(file, os.O_WRONLY),
		"open trunc":  openWith(file, os.O_RDWR|os.O_TRUNC),
		"create":      openWith(filepath.Join(dir, "new"), os.O_CREATE|os.O_WRONLY),
		"create read": openWith(filepath.Join(dir, "new"), os.O_CREATE|os.O_RDONLY),
		"tmpfile":     openWith(dir, unix.O_TMPFILE|os.O_WRONLY),
	} {
		if err == nil || !strings.Contains(err.Error(), syscall.EROFS.Error()) {
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	return nil
}

func openWith(path string, flags int) error {
	file, err := os.OpenFile(path, flags, 0o644)
	if err == nil {
		_ = file.Close()
	}
	return err
}

// childOpen opens a file, says so, waits, and reads it.
func childOpen(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	here()
	data, err := io.ReadAll(file)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	fmt.Printf("%x\n", sha256.Sum256(data))
	return nil
}

// childReopen holds a file open and prints the sizes that fstat of it and stat of its name show when told to.
func childReopen(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	here()
	held, err := file.Stat()
	if err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	named, err := os.Stat(args[0])
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	again, err := os.ReadFile(args[0])
	fmt.Println(held.Size(), named.Size(), len(again))
	return err
}

// childRawRead opens a file, with O_DIRECT when told to, says so and reads its first page with one system call and
// without a handler for any signal.
func childRawRead(args []string) error {
	runtime.LockOSThread()
	flags := unix.O_RDONLY
	if args[1] == "direct" {
		flags |= unix.O_DIRECT
	}
	if args[1] == "open" {
		fmt.Print("h")
	}
	fd, err := unix.Open(args[0], flags, 0)
	if err != nil {
		return err
	}
	fmt.Print("h")
	_, err = unix.Pread(fd, make([]byte, 4096), 0)
	return err
}

func childXattr(args []string) error {
	list := make([]byte, 1000)
	n, err := unix.Listxattr(args[0], list)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		value := make([]byte, 1000)
		n, err := unix.Getxattr(args[0], name, value)
		if err != nil {
			return err
		}
		fmt.Printf("%s=%s\n", name, value[:n])
	}
	if _, err := unix.Getxattr(args[0], "user.none", nil); err != unix.ENODATA {
		return fmt.Errorf("getxattr of what is not there: %w", err)
	}
	if _, err := unix.Getxattr(args[0], "user.s3.key", make([]byte, 1)); err != unix.ERANGE {
		return fmt.Errorf("getxattr without room: %w", err)
	}
	return nil
}
