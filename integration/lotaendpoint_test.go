package integration

import (
	"log/slog"
	"os"
	"testing"

	"github.com/headrace/headrace/objstore/cwsim"
)

// With `--endpoint auto`, a mount reads from LOTA while it answers and from the store while it does not, says so, and
// no read fails.
func TestEndpointAuto(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	for _, key := range []string{"a", "b", "c", "d"} {
		l.put(key, mib)
	}
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "auto", environment: l.environment, provoked: slog.LevelWarn, flags: []string{"--read-only"},
	})
	read := func(key string) string {
		t.Helper()
		before := len(l.Requests())
		if content, err := os.ReadFile(m.path(key)); err != nil || int64(len(content)) != mib {
			t.Errorf("%s: %d bytes, %v", key, len(content), err)
		}
		var hosts []string
		for _, r := range l.Requests()[before:] {
			if reads(r) {
				hosts = append(hosts, r.Host)
			}
		}
		if len(hosts) == 0 {
			t.Fatalf("%s was read from nowhere", key)
		}
		return hosts[len(hosts)-1]
	}
	if host := read("a"); host != cwsim.LotaHost {
		t.Errorf("read from %s", host)
	}
	l.Down(cwsim.LotaHost, true)
	for _, key := range []string{"b", "c"} {
		if host := read(key); host != cwsim.OriginHost {
			t.Errorf("read from %s while LOTA is down", host)
		}
	}
	l.Down(cwsim.LotaHost, false)
	eventually(t, patience, "LOTA to be used again", func() bool {
		const switches = "headrace_store_endpoint_switches_total"
		return m.counters(switches)[switches] == 2
	})
	if host := read("d"); host != cwsim.LotaHost {
		t.Errorf("read from %s after LOTA has come back", host)
	}
	var said []string
	m.inspect = func(lines []logLine) {
		for _, line := range lines {
			if line.fields["msg"] == "endpoint" {
				said = append(said, line.text)
			}
		}
		if len(said) != 3 {
			t.Errorf("said of the endpoint: %q", said)
		}
	}
}
