package cwsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// service is a store that listens, with a client whose requests go through it.
type service struct {
	*Store
	t      *testing.T
	client *http.Client
}

func serve(t *testing.T, options Options) *service {
	t.Helper()
	store := New(options)
	server, err := Serve(store)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(server.Authority()) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return &service{Store: store, t: t, client: &http.Client{Transport: transport}}
}

// do makes a request and gives status and body. Headers are "Name: value".
func (s *service) do(method, url string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=k/20260101/"+Zone+"/s3/aws4_request")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (s *service) expect(status int, body, method, url string, headers ...string) {
	s.t.Helper()
	if got, text := s.do(method, url, headers...); got != status || !strings.Contains(text, body) {
		s.t.Errorf("%s %s: %d %q, want %d %q", method, url, got, text, status, body)
	}
}

func (s *service) put(key string, size int) {
	s.t.Helper()
	_, err := s.Bucket("data").Put(s.t.Context(), key, bytes.NewReader(make([]byte, size)), int64(size), objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// Buckets are in the host's name only, at either endpoint; what is no object but a prefix is a bad request.
func TestAddresses(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}, {Name: "fresh", Settle: time.Hour}}})
	s.put("dir/key", 5)
	s.expect(200, "\x00\x00\x00\x00\x00", "GET", "http://data.cwlota.com/dir/key")
	s.expect(200, "\x00\x00\x00\x00\x00", "GET", "https://data.cwobject.com/dir/key")
	s.expect(400, "PathStyleRequestNotAllowed", "GET", "http://cwlota.com/data/dir/key")
	s.expect(200, "<Name>data</Name>", "GET", "https://cwobject.com/")
	s.expect(400, "InvalidRegion", "GET", "http://fresh.cwlota.com/?list-type=2")
	s.expect(404, "NoSuchBucket", "GET", "http://none.cwlota.com/key")
	s.expect(400, "", "HEAD", "http://data.cwlota.com/dir")
	s.expect(404, "", "HEAD", "http://data.cwlota.com/other")
	if n := len(s.Requests()); n != 8 {
		t.Errorf("%d requests are recorded, want 8", n)
	}
}

// An endpoint that is down answers nobody, and the other one goes on.
func TestDown(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}}})
	s.put("key", 1)
	s.Down(LotaHost, true)
	if resp, err := s.client.Get("http://data.cwlota.com/key"); err == nil {
		resp.Body.Close()
		t.Error("an endpoint that is down answers")
	}
	s.expect(200, "", "GET", "https://data.cwobject.com/key")
	s.Down(LotaHost, false)
	s.expect(200, "", "GET", "http://data.cwlota.com/key")
}

// LOTA holds what was read or pre-staged and is large; what is written anew it forgets.
func TestResident(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}}, StageTime: time.Hour})
	s.put("large", LargestUncached+1)
	s.expect(206, "", "HEAD", "http://data.cwlota.com/large", "Range: bytes=0-0")
	if s.Resident("data", "large") {
		t.Error("pre-staging takes no time")
	}
	s = serve(t, Options{Buckets: []Bucket{{Name: "data"}}, StageTime: time.Millisecond})
	s.put("small", LargestUncached)
	s.put("large", LargestUncached+1)
	s.put("read", LargestUncached+1)
	s.expect(206, "", "HEAD", "http://data.cwlota.com/small", "Range: bytes=0-0")
	s.expect(206, "", "HEAD", "https://data.cwobject.com/read", "Range: bytes=0-0")
	s.expect(206, "", "HEAD", "http://data.cwlota.com/large", "Range: bytes=0-0")
	time.Sleep(2 * time.Millisecond)
	s.expect(206, "\x00", "GET", "http://data.cwlota.com/read", "Range: bytes=0-0")
	for key, want := range map[string]bool{"small": false, "large": true, "read": true} {
		if s.Resident("data", key) != want {
			t.Errorf("%s resident: %v, want %v", key, !want, want)
		}
	}
	s.expect(200, "", "PUT", "http://data.cwlota.com/large")
	if s.Resident("data", "large") {
		t.Error("LOTA holds what was written over")
	}
}

// RenameObject moves an object with what LOTA holds of it, and never over another one that must not be there; a write
// that is refused has LOTA forget nothing.
func TestRename(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}}})
	s.put("from", LargestUncached+1)
	s.put("other", LargestUncached+1)
	s.expect(206, "\x00", "GET", "http://data.cwlota.com/from", "Range: bytes=0-0")
	s.expect(206, "\x00", "GET", "http://data.cwlota.com/other", "Range: bytes=0-0")
	s.expect(412, "", "PUT", "http://data.cwlota.com/other?renameObject", "X-Amz-Rename-Source: from", "If-None-Match: *")
	s.expect(412, "", "PUT", "http://data.cwlota.com/other", "If-None-Match: *")
	if !s.Resident("data", "from") || !s.Resident("data", "other") {
		t.Error("LOTA forgets what a refused write has not changed")
	}
	s.expect(200, "", "PUT", "http://data.cwlota.com/to?renameObject", "X-Amz-Rename-Source: from")
	if !s.Resident("data", "to") || s.Resident("data", "from") {
		t.Error("LOTA has not followed the renaming")
	}
	s.expect(404, "", "HEAD", "http://data.cwlota.com/from")
	s.expect(404, "NoSuchKey", "PUT", "http://data.cwlota.com/again?renameObject", "X-Amz-Rename-Source: from")
}

// Requests at one partition above its limit are refused; those at others are not.
func TestPartitions(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}}, PartitionLimit: 1, Model: Model{Peak: 1, Hang: 1}}) // which hangs
	s.put("aaaaaa/1", 1)
	s.put("bbbbbb/1", 1)
	done := make(chan int)
	go func() {
		status, _ := s.do("GET", "http://data.cwlota.com/aaaaaa/1")
		done <- status
	}()
	for s.inPartition("data/aaaaaa") == 0 {
		time.Sleep(time.Millisecond)
	}
	s.expect(503, "SlowDown", "GET", "http://data.cwlota.com/aaaaaa/2")
	s.expect(200, "", "HEAD", "http://data.cwlota.com/bbbbbb/1")
	s.SetModel(Model{})
	if status := <-done; status != 200 {
		t.Errorf("the one within the limit: %d", status)
	}
	if s.Throttled() != 1 {
		t.Errorf("%d refused, want 1", s.Throttled())
	}
}

func (s *Store) inPartition(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[name]
}

// A body comes at the pace of the model, and one that hangs goes on when others went away.
func TestPace(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data", Away: true}}, Model: Model{Peak: 1 << 20, From: 1, To: 1, Half: 1, Hang: 2}, FarLatency: 100 * time.Millisecond})
	s.put("key", 256<<10)
	begin := time.Now()
	done := make(chan int, 2)
	for range 2 {
		go func() {
			status, _ := s.do("GET", "http://data.cwlota.com/key")
			done <- status
		}()
	}
	time.Sleep(300 * time.Millisecond)
	select {
	case <-done:
		t.Error("one of two GETs ended in a store that hangs at two")
	default:
	}
	s.SetModel(Model{Peak: 1 << 20, From: 2, To: 2, Half: 3, Hang: 4})
	if a, b := <-done, <-done; a != 200 || b != 200 {
		t.Errorf("the GETs ended with %d and %d", a, b)
	}
	if took := time.Since(begin); took < 700*time.Millisecond {
		t.Errorf("two GETs of 256 KiB at 1 MiB/s took %v", took)
	}
	begin = time.Now()
	s.expect(200, "", "PUT", "http://data.cwlota.com/new")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("a write far away took %v", took)
	}
}

// Requests that are no GETs of objects have a pace of their own, hang for themselves, and end when their client goes,
// also with a body.
func TestPaceOfRequests(t *testing.T) {
	s := serve(t, Options{Buckets: []Bucket{{Name: "data"}}, Requests: Model{Peak: 10, From: 1, To: 1, Half: 1, Hang: 2}})
	s.put("key", 1)
	begin := time.Now()
	s.expect(200, "", "HEAD", "http://data.cwlota.com/key")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("a HEAD took %v, at ten a second", took)
	}
	s = serve(t, Options{Buckets: []Bucket{{Name: "data"}}, Requests: Model{Peak: 10, From: 1, To: 1, Half: 1, Hang: 1}})
	s.put("key", 1)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	req, err := http.NewRequestWithContext(ctx, "PUT", "http://data.cwlota.com/new", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		resp, err := s.client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		ended <- err
	}()
	await := func(what string, done func() bool) {
		t.Helper()
		for begin := time.Now(); !done(); time.Sleep(time.Millisecond) {
			if time.Since(begin) > time.Minute {
				t.Fatalf("no %s within a minute", what)
			}
		}
	}
	await("request", func() bool { return s.countOther(0) > 0 })
	s.expect(200, "\x00", "GET", "http://data.cwlota.com/key")
	giveUp()
	if err := <-ended; err == nil {
		t.Error("a store that hangs takes an object")
	}
	await("end of it", func() bool { return s.countOther(0) == 0 })
}
