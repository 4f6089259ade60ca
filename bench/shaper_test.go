package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The proxy passes every kind of message on as it is, on one connection.
func TestShaperPassesOn(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Body", fmt.Sprint(len(body)))
		w.Header().Set("X-Host", r.Host)
		switch r.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			w.Write(large)
		case "/chunked":
			for range 3 {
				w.Write(large[:1000])
				w.(http.Flusher).Flush()
			}
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	p, err := startShaper(strings.TrimPrefix(server.URL, "http://"), shape{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path string
		send         io.Reader
		sent, want   int
	}{
		{"GET", "/large", nil, 0, len(large)},
		{"HEAD", "/large", nil, 0, 0},
		{"PUT", "/", bytes.NewReader(large), len(large), 0},
		{"PUT", "/chunked", io.MultiReader(bytes.NewReader(large)), len(large), 3000},
		{"DELETE", "/nothing", nil, 0, 0},
		{"GET", "/chunked", nil, 0, 3000},
		{"GET", "/large", nil, 0, len(large)},
	} {
		req, err := http.NewRequest(c.method, p.endpoint()+c.path, c.send)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || len(got) != c.want || resp.Header.Get("X-Body") != fmt.Sprint(c.sent) || resp.Header.Get("X-Host") != p.listener.Addr().String() {
			t.Errorf("%s %s: %d bytes, %v, %v", c.method, c.path, len(got), resp.Header, err)
		}
		if c.path == "/large" && c.method == "GET" && !bytes.Equal(got, large) {
			t.Error("other bytes")
		}
	}
}

// The first byte is late and the rest takes its time, response by response.
func TestShaperShapes(t *testing.T) {
	const size, rate, late = 1 << 20, 8 << 20, 30 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(make([]byte, size))
	}))
	defer server.Close()
	p, err := startShaper(strings.TrimPrefix(server.URL, "http://"), shape{firstByte: late, rate: rate})
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 {
		start := time.Now()
		resp, err := client.Get(p.endpoint())
		if err != nil {
			t.Fatal(err)
		}
		first := time.Since(start)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		all := time.Since(start)
		// The last batch needs no pause after it, and clocks are coarse: never faster than 90 percent of the rate says.
		least := late + time.Duration(size)*time.Second/rate*9/10
		if first < late || all < least {
			t.Errorf("first byte after %v, all after %v; want %v and %v", first, all, late, least)
		}
	}
}

// A proxy that is stopped lets go of what it is in the middle of.
func TestShaperStops(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1000)) }))
	defer server.Close()
	p, err := startShaper(strings.TrimPrefix(server.URL, "http://"), shape{firstByte: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		resp, err := http.Get(p.endpoint())
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	p.stop()
	if err := <-failed; err == nil {
		t.Error("got an answer from a stopped proxy")
	}
}
