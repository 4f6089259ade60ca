package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var statusStarted = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// A status has lines for what the mount has, and none for what it has not.
func TestStatusForPeople(t *testing.T) {
	m := mountStatus{
		Mountpoint: "/data", Source: "s3://b/p", Endpoint: "https://e", Version: "v1", PID: 7, Started: statusStarted,
		OpenFiles: 1, Read: 3 << 30, Fetched: 2 << 30, Local: 1 << 30, Requests: 128, Failed: 2, InFlight: 3, Limit: 64, Memory: 1 << 20, MemoryLimit: 1 << 30,
	}
	show := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := m.write(&out, statusStarted.Add(3*time.Hour)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := `/data  s3://b/p, at https://e, process 7, mounted 3 hours ago, v1
  reading   3.0 GiB given to programs; 2.0 GiB from the store, 1.0 GiB from the disk; 1 file open
  store     3 requests in flight of 64 allowed; 128 so far, 2 failed, 0 throttled
  memory    1.0 MiB of 1.0 GiB
`
	if got := show(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	m.DiskLimit, m.StagedLimit, m.Unstored, m.Errors = 1<<40, 1<<30, 2, 5
	if got := show(); !strings.Contains(got, "of 1.0 TiB") || !strings.Contains(got, "2 files not stored yet") || !strings.Contains(got, "5 answers") {
		t.Errorf("got\n%s", got)
	}
	m = mountStatus{Mountpoint: "/data", Error: "it does not answer"}
	if got := show(); got != "/data  it does not answer\n" {
		t.Errorf("got %q", got)
	}
}

// What mounts do is told a second; one that was mounted anew in between has done nothing yet, rather than less than
// nothing.
func TestTopTellsRates(t *testing.T) {
	before := []mountStatus{
		{Mountpoint: "/a", PID: 1, Started: statusStarted, Read: 10 << 20, Requests: 5, Failed: 1},
		{Mountpoint: "/b", PID: 2, Started: statusStarted, Read: 10 << 20},
	}
	now := []mountStatus{
		{Mountpoint: "/a", PID: 1, Started: statusStarted, Read: 30 << 20, Requests: 9, Failed: 4, InFlight: 2, Limit: 64},
		{Mountpoint: "/b", PID: 3, Started: statusStarted.Add(time.Second), Read: 1 << 20},
		{Mountpoint: "/c", Error: "it does not answer"},
	}
	var out bytes.Buffer
	if err := writeTop(&out, before, now, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"read/s store/s disk/s written/s sent/s requests/s failed in flight unstored mount", "10 MiB 0 B 0 B 0 B 0 B 2 3 2/64 0 /a", "0 B 0 B 0 B 0 B 0 B 0 0 0/0 0 /b", "- - - - - - - - - /c: it does not answer"} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
