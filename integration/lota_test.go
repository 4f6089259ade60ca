package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// lota is a simulated CoreWeave, which programs reach by its real names through an HTTP proxy.
type lota struct {
	*cwsim.Store
	t           *testing.T
	environment []string
}

const lotaBucket = "training"

// newLota starts one with the bucket "training", unless options say which buckets there are.
func newLota(t *testing.T, options cwsim.Options) *lota {
	t.Helper()
	if options.Buckets == nil {
		options.Buckets = []cwsim.Bucket{{Name: lotaBucket}}
	}
	store := cwsim.New(options)
	server := must[*cwsim.Server](t)(cwsim.Serve(store))
	atEnd(t, server.Close)
	home := t.TempDir()
	authority := filepath.Join(home, "authority.pem")
	if err := os.WriteFile(authority, server.Authority(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &lota{Store: store, t: t, environment: []string{
		"HTTP_PROXY=" + server.URL(), "HTTPS_PROXY=" + server.URL(), "AWS_CA_BUNDLE=" + authority, "AWS_REGION=" + cwsim.Zone,
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
	}}
}

// put stores an object behind the endpoints' backs.
func (l *lota) put(key string, size int64) {
	l.t.Helper()
	_, err := l.Bucket(lotaBucket).Put(context.Background(), key, bytes.NewReader(make([]byte, size)), size, objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		l.t.Fatal(err)
	}
}

// mount mounts the bucket.
func (l *lota) mount(endpoint string, flags ...string) *mount {
	l.t.Helper()
	return startMount(l.t, mountSpec{source: "s3://" + lotaBucket, endpoint: endpoint, flags: flags, environment: l.environment})
}

// run runs a command, which ends with the code.
func (l *lota) run(code int, stdin string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command(must[string](l.t)(shared.raced()), args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), l.environment...), strings.NewReader(stdin)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		l.t.Errorf("headrace %q: exit code %d, should be %d: %s", args, got, code, out)
	}
	return string(out)
}

// keys are those of the requests since the first `after` ones that match, in order.
func (l *lota) keys(after int, match func(cwsim.Request) bool) (keys []string) {
	for _, r := range l.Requests()[after:] {
		if match(r) {
			keys = append(keys, r.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

func prestages(r cwsim.Request) bool { return r.Method == "HEAD" && r.Range == "bytes=0-0" }

func reads(r cwsim.Request) bool {
	return r.Method == "GET" && r.Key != "" && !strings.HasPrefix(r.Query, "tagging")
}

// What a test had in the memory of this process goes when the test is over, though package testing keeps the test
// itself: together they would be gigabytes.
func TestStoresAreLetGo(t *testing.T) {
	var over *testing.T // as the one above keeps it
	var store weak.Pointer[cwsim.Store]
	t.Run("test", func(t *testing.T) {
		l := newLota(t, cwsim.Options{})
		l.put("key", mib)
		newProxy(t, "http://"+cwsim.LotaHost)
		over, store = t, weak.Make(l.Store)
	})
	eventually(t, patience, "the store to be let go", func() bool {
		runtime.GC()
		return store.Value() == nil
	})
	runtime.KeepAlive(over)
}
