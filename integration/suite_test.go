package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/s3server"
	"github.com/moby/sys/mountinfo"
	"github.com/rs/zerolog"
)

// update rewrites the golden traces.
var update = flag.Bool("update", false, "write what is in testdata/traces anew")

// shared is what all tests of a run have in common. TestMain makes it; afterwards it is only read.
var shared *suite

// suite is made once a run.
type suite struct {
	dir    string                           // holds everything the run puts on disk
	raced  func() (string, error)           // the path of headrace built with the race detector
	plain  func() (string, error)           // and without
	server func() (*s3server.Server, error) // the S3 server of all tests that do not kill theirs
	names  func(kind string) string         // names nobody else uses
}

const (
	// accessKey and secretKey are what every server of the tests takes, and the environment of every process has.
	accessKey = "integration"
	secretKey = "integration-secret"
	// parallelTests is how many tests run at once. Most wait for a deadline or a server, so more than one a core.
	parallelTests = "8"
	// garbage is what may be in memory beside what is in use, in percent of it: that is objects of simulated stores, and
	// the race detector takes three times their memory, which it never gives back.
	garbage = 25
)

func TestMain(m *testing.M) {
	if isHelper() {
		os.Exit(runHelper(os.Args[1:]))
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's; a broken connection is no news here
	flag.Parse()
	debug.SetGCPercent(garbage)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := setEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "headrace-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the tests of --allow-other come as other users
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	staging := filepath.Join(dir, "staging")
	if err := os.Setenv("HEADRACE_STAGING_DIR", staging); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = newSuite(dir)
	code := m.Run()
	if server, err := shared.server(); err == nil {
		server.Stop()
	}
	if left := mountsBelow(dir); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "mounts left behind:", left)
		return 1
	}
	// A mount that was killed leaves its directory to the next one; what counts is what is in it.
	if left, err := filepath.Glob(filepath.Join(staging, "*", "*.*")); err != nil || len(withoutOwners(left)) > 0 {
		fmt.Fprintln(os.Stderr, "staging files left behind:", withoutOwners(left), err)
		return 1
	}
	return code
}

func withoutOwners(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool { return filepath.Base(path) == "owner.json" })
}

// setEnvironment keeps the user's own store out of the tests and puts the tests' one in.
func setEnvironment() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "HEADRACE_") && name != "HEADRACE_VERSITYGW" {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":           accessKey,
		"AWS_SECRET_ACCESS_KEY":       secretKey,
		"AWS_EC2_METADATA_DISABLED":   "true", // a chain that finds nothing must not ask the network
		"AWS_CONFIG_FILE":             "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", parallelTests)
}

func newSuite(dir string) *suite {
	var mu sync.Mutex // guards count
	var count int
	return &suite{
		dir:   dir,
		raced: sync.OnceValues(func() (string, error) { return build(filepath.Join(dir, "raced"), "-race") }),
		plain: sync.OnceValues(func() (string, error) { return build(filepath.Join(dir, "plain")) }),
		server: sync.OnceValues(func() (*s3server.Server, error) {
			return startServer(context.Background(), filepath.Join(dir, "objects"))
		}),
		names: func(kind string) string {
			mu.Lock()
			defer mu.Unlock()
			count++
			return fmt.Sprintf("%s-%03d", kind, count)
		},
	}
}

// build compiles the binary into dir. Like an installed one it has its S3 server beside it, for `headrace demo`.
func build(dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "headrace")
	args := append([]string{"build", "-o", binary}, flags...)
	cmd := exec.Command("go", append(args, "github.com/headrace/headrace/cmd/headrace")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	server, err := filepath.Abs("../bin/versitygw")
	if err != nil {
		return "", err
	}
	return binary, os.Symlink(server, filepath.Join(dir, "versitygw"))
}

func startServer(ctx context.Context, dir string) (*s3server.Server, error) {
	return s3server.Start(ctx, s3server.Options{Dir: dir, AccessKey: accessKey, SecretKey: secretKey})
}

// mountsBelow lists the mounts in dir, from the kernel's table.
func mountsBelow(dir string) []string {
	found, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return []string{err.Error()}
	}
	var dirs []string
	for _, m := range found {
		dirs = append(dirs, m.Mountpoint)
	}
	return dirs
}

// eventually polls until cond holds. It fails the test, saying what was waited for, when that takes longer than the
// deadline.
func eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	if !holdsWithin(within, cond) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

// holdsWithin polls until cond holds or the time is over.
func holdsWithin(within time.Duration, cond func() bool) bool {
	const interval = 5 * time.Millisecond // short beside everything that is waited for, long beside a look at /proc
	poll := time.NewTicker(interval)
	defer poll.Stop()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			return false
		}
		<-poll.C
	}
	return true
}

// atEnd is t.Cleanup for what has objects in memory: package testing keeps what is given to Cleanup until the test
// above has ended, which for a test that runs beside others is the whole run, and with it all that it refers to.
func atEnd(t testing.TB, end func()) {
	t.Cleanup(func() {
		once := end
		end = nil
		once()
	})
}

// must returns v, and fails the test when there is an error.
func must[V any](t testing.TB) func(v V, err error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
