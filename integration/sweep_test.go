package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// A sweep of a store that is best at 2 to 8 requests at once, gives half at 24 and hangs from 28 on finds where it is
// best, for each kind of request, ends at the step that hangs, advises to stay below, and leaves nothing in the bucket.
func TestSweep(t *testing.T) {
	t.Parallel()
	shape := func(peak float64) cwsim.Model { return cwsim.Model{Peak: peak, From: 2, To: 8, Half: 24, Hang: 28} }
	for operation, options := range map[string]cwsim.Options{
		"get": {Model: shape(32 * 16 << 10)}, "put": {Requests: shape(32)}, "head": {Requests: shape(32)}, "list": {Requests: shape(32)},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			// A machine that has no time makes steps slow that are not, or brings too few requests to the store at once. Each
			// round gives it twice the time of the one before.
			for d := time.Second; ; d *= 2 {
				l := newLota(t, options)
				report := l.sweep(operation, d)
				l.checkEmpty()
				c := report.Curves[0]
				if c.Collapsed && slices.Equal(c.tried(), []int{1, 6, 15, 48}) && c.Steps[3].Hanging > 0 && report.advises(operation) {
					return
				}
				if t.Logf("steps of %v: %+v", d, report); d > 10*time.Second {
					t.Fatal("it was never found that 6 are best and that the store hangs from 28 on")
				}
			}
		})
	}
}

// sweep tries how many requests of an operation at once are good, up to more than hang, for some time each.
func (l *lota) sweep(operation string, d time.Duration) sweepReport {
	l.t.Helper()
	out := l.run(0, "", "bench", "sweep", "s3://"+lotaBucket, "--endpoint=http://cwlota.com",
		"--operation="+operation, "--size=16KiB", "--concurrency=1,6,15,48,96", "--duration="+d.String(), "--json")
	var report sweepReport
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &report); err != nil || len(report.Curves) != 1 {
		l.t.Fatalf("%v: %s", err, out)
	}
	return report
}

// sweepReport is what is looked at of one.
type sweepReport struct {
	Curves []sweepCurve
	Advice []struct{ Flag, Value string }
}

type sweepCurve struct {
	Collapsed bool
	Steps     []struct {
		Concurrency, Hanging int

		MiB       float64 `json:"mib_per_second"`
		PerSecond float64 `json:"requests_per_second"`
	}
}

// tried are the numbers of requests at once, in order.
func (c sweepCurve) tried() (tried []int) {
	for _, s := range c.Steps {
		tried = append(tried, s.Concurrency)
	}
	return tried
}

// advises tells whether 6 at once are said to be best, or 15, which differ by little, and whether a mount is told so of
// what it does most.
func (r sweepReport) advises(operation string) bool {
	advised := map[string]string{}
	for _, a := range r.Advice {
		advised[a.Flag] = a.Value
	}
	isBest := func(n string) bool { return n == "6" || n == "15" }
	most, ok := advised["--max-concurrency"]
	return isBest(advised[""]) && ok == (operation == "get") && (!ok || isBest(most))
}

// Ctrl-C in the middle of a sweep that writes ends it at once, says so, and leaves nothing in the bucket.
func TestSweepInterrupted(t *testing.T) {
	l := newLota(t, cwsim.Options{RequestCost: 50 * time.Millisecond})
	cmd := exec.Command(must[string](t)(shared.raced()), "bench", "sweep", "s3://"+lotaBucket, "--endpoint=http://cwlota.com",
		"--operation=put", "--size=64KiB", "--concurrency=16", "--duration=5m")
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), l.environment...), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	puts := func() int { return len(l.keys(0, func(r cwsim.Request) bool { return r.Method == "PUT" })) }
	eventually(t, patience, "objects to be written", func() bool { return puts() > 40 })
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") || time.Since(begun) > patience {
		t.Errorf("after Ctrl-C: %v in %v: %s", err, time.Since(begun), out.String())
	}
	l.checkEmpty()
}

// Whoever does not want to wait for a command to clean up after Ctrl-C ends it by a second one.
func TestSecondInterrupt(t *testing.T) {
	l := newLota(t, cwsim.Options{})
	release := l.Hold(func(r cwsim.Request) bool { return r.Method == "DELETE" })
	defer release()
	cmd := exec.Command(must[string](t)(shared.plain()), "bench", "sweep", "s3://"+lotaBucket, "--endpoint=http://cwlota.com",
		"--operation=put", "--size=64KiB", "--concurrency=2", "--duration=5m")
	cmd.Env = append(os.Environ(), l.environment...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	sent := func(method string) bool {
		return len(l.keys(0, func(r cwsim.Request) bool { return r.Method == method })) > 0
	}
	interrupt := func() error { return cmd.Process.Signal(syscall.SIGINT) }
	eventually(t, patience, "an object to be written", func() bool { return sent("PUT") })
	if err := interrupt(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "it to clean up", func() bool { return sent("DELETE") })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	eventually(t, patience, "its end", func() bool { return interrupt() != nil })
	<-ended
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Errorf("it has cleaned up first: %v", cmd.ProcessState)
	}
}

// With --key a sweep reads what it was given, and writes nothing.
func TestSweepReadsOnly(t *testing.T) {
	l := newLota(t, cwsim.Options{})
	l.put("set/a", 300<<10)
	l.put("set/b", 100<<10)
	out := l.run(0, "", "bench", "sweep", "s3://"+lotaBucket+"/set", "--endpoint=http://cwlota.com", "--key=set/a", "--key=set/b",
		"--size=64KiB", "--concurrency=1,4", "--duration=200ms")
	for _, want := range []string{"GET 64 KiB", "HEAD", "LIST"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	asked := map[string]int{}
	for _, r := range l.Requests() {
		asked[r.Method]++
		if r.Method != "GET" && r.Method != "HEAD" {
			t.Fatalf("a sweep of objects that are there writes: %+v", r)
		}
		if r.Method == "GET" && r.Key != "" && r.Key != "set/a" && r.Key != "set/b" {
			t.Errorf("it reads %q", r.Key)
		}
	}
	if asked["GET"] == 0 || asked["HEAD"] == 0 {
		t.Errorf("requests: %v", asked)
	}
}

// checkEmpty checks that nothing is left in the bucket.
func (l *lota) checkEmpty() {
	l.t.Helper()
	for page, err := range l.Bucket(lotaBucket).List(l.t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 0 {
			l.t.Errorf("left in the bucket: %v, %v", page.Entries, err)
		}
	}
}
