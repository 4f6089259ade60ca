package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// ticksPerSecond is USER_HZ, in which Linux tells CPU times on every architecture Go runs on.
	ticksPerSecond = 100
	// scrapeDeadline bounds the reading of metrics from a socket of this machine.
	scrapeDeadline = 10 * time.Second
)

// spent is what a daemon has used up since it was started.
type spent struct {
	cpu      time.Duration
	peakRSS  int64 // bytes
	requests int64 // to the store
	fetched  int64 // bytes from the store
	local    int64 // bytes from the disk cache, by way of the daemon
	answered int64 // bytes that the kernel asked the daemon for
	passed   int64 // files opened for the kernel to read by itself
}

func (s spent) since(before spent) spent {
	s.cpu -= before.cpu
	s.requests -= before.requests
	s.fetched -= before.fetched
	s.local -= before.local
	s.answered -= before.answered
	s.passed -= before.passed
	return s
}

// spent looks at the running daemon.
func (c *child) spent(ctx context.Context) (s spent, err error) {
	pid := c.cmd.Process.Pid
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	if s.cpu, err = parseStat(string(stat)); err != nil {
		return s, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, fmt.Errorf("bench: %w", err)
	}
	if s.peakRSS, err = parsePeak(string(status)); err != nil {
		return s, err
	}
	metrics, err := c.scrape(ctx)
	if err != nil {
		return s, err
	}
	s.requests = int64(metrics["headrace_store_requests_total"])
	s.fetched = int64(metrics["headrace_store_received_bytes_total"])
	s.local = int64(metrics["headrace_cache_local_bytes_total"])
	s.answered = int64(metrics["headrace_fs_read_bytes_total"])
	s.passed = int64(metrics["headrace_fs_passthrough_opens_total"])
	return s, nil
}

// parseStat reads the CPU time out of /proc/PID/stat: the 14th and 15th field, where the second may hold anything in
// parentheses.
func parseStat(text string) (time.Duration, error) {
	_, rest, _ := strings.Cut(text[strings.LastIndexByte(text, ')')+1:], " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("bench: /proc/PID/stat is %q", text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("bench: /proc/PID/stat is %q", text)
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// parsePeak reads VmHWM out of /proc/PID/status.
func parsePeak(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("bench: no VmHWM in /proc/PID/status")
}

// scrape reads the daemon's metrics; those that differ in labels only are added up.
func (c *child) scrape(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeDeadline)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://headrace/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("bench: metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bench: metrics: %s", resp.Status)
	}
	return parseMetrics(resp.Body)
}

// parseMetrics reads Prometheus' text format as far as counters and gauges go.
func parseMetrics(r io.Reader) (map[string]float64, error) {
	sums := make(map[string]float64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("bench: metrics: %q", line)
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("bench: metrics: %q", line)
		}
		name, _, _ := strings.Cut(line[:space], "{")
		sums[name] += value
	}
	return sums, lines.Err()
}
