package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

func sampleSnapshot() snapshot {
	var s snapshot
	s.mount.Reads = 7
	s.gate.Limit = 64
	s.gate.Classes[objstore.ClassDemand].Waiting = 3
	s.meter.Gets[objstore.GetChunk] = 4
	s.retries[objstore.OpOpen] = 2
	row := objstore.OpStats{Op: objstore.OpOpen, Class: objstore.ClassPrefetch, Requests: 5, Received: 1 << 20}
	row.Errors[objstore.KindOf(objstore.ErrThrottled)] = 1
	row.FirstByte.Count, row.FirstByte.Sum = 4, 8*time.Millisecond
	row.FirstByte.Buckets[3] = 4
	s.meter.Ops = []objstore.OpStats{row}
	return s
}

func TestMetricsShowWhatTheLayersCount(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "metrics")
	e, err := openExporter(daemonOptions{metrics: "unix:" + socket})
	if err != nil {
		t.Fatal(err)
	}
	e.serve(sampleSnapshot, false, slog.New(slog.DiscardHandler))
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may open the socket: %v, %v", info, err)
	}
	if _, err := openExporter(daemonOptions{metrics: "unix:" + socket}); exitCode(err) != exitFailure {
		t.Errorf("a socket in use was taken over: %v", err)
	}
	page := get(t, socket, "/metrics", http.StatusOK)
	for _, line := range []string{
		"headrace_fs_reads_total 7",
		"headrace_gate_limit 64",
		`headrace_gate_waiting{class="demand"} 3`,
		`headrace_store_gets_total{shape="chunk"} 4`,
		`headrace_store_retries_total{operation="GetObject"} 2`,
		`headrace_store_requests_total{class="prefetch",operation="GetObject"} 5`,
		`headrace_store_received_bytes_total{class="prefetch",operation="GetObject"} 1.048576e+06`,
		`headrace_store_errors_total{class="prefetch",error="throttled",operation="GetObject"} 1`,
		`headrace_store_first_byte_seconds_count{class="prefetch",operation="GetObject"} 4`,
		`headrace_store_first_byte_seconds_bucket{class="prefetch",operation="GetObject",le="0.0008"} 4`,
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	get(t, socket, "/debug/pprof/", http.StatusNotFound)
	e.close()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "metrics")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := listen("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestSocketTakesNoFile: what is no socket is not taken away.
func TestSocketTakesNoFile(t *testing.T) {
	file, dir := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "empty")
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		if l, err := listen("unix:" + path); err == nil {
			l.Close()
			t.Errorf("%s became a socket", path)
		}
	}
	if got, err := os.ReadFile(file); string(got) != "precious" {
		t.Errorf("the file has %q, %v", got, err)
	}
}

// get asks over the socket and returns the page.
func get(t *testing.T, socket, path string, status int) string {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
	}
	response, err := (&http.Client{Transport: transport}).Get("http://headrace" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return string(page)
}
