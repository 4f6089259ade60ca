package integration

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// counters asks the daemon for its metrics and returns those that were asked for by their full names. What it does not
// have is missing.
func (m *mount) counters(names ...string) map[string]float64 {
	m.t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", m.metrics)
		},
		DisableKeepAlives: true,
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://headrace/metrics")
	if err != nil {
		m.t.Errorf("the metrics: %v", err)
		return nil
	}
	defer resp.Body.Close()
	values := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !slices.Contains(names, name) {
			continue
		}
		if values[name], err = strconv.ParseFloat(value, 64); err != nil {
			m.t.Errorf("the metrics: %q: %v", lines.Text(), err)
		}
	}
	return values
}
