package s3store

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answering is a way to a store that answers all with one status, type and text, or an error.
type answering struct {
	status     int
	kind, text string
	err        error
	asked      int
}

func (a *answering) RoundTrip(req *http.Request) (*http.Response, error) {
	a.asked++
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}}, Body: io.NopCloser(strings.NewReader(a.text)), Request: req}, nil
}

// routeBy is a route to LOTA by a way.
func routeBy(t *testing.T, way http.RoundTripper) *route {
	t.Helper()
	r, err := newRoute(t.Context(), Config{near: "http://" + nearHost, origin: "http://" + originHost, Log: slog.New(slog.DiscardHandler)}, way)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Which answers to the question whether LOTA is there are those of a store.
func TestRouteAsks(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		there  bool
	}{
		{200, "application/xml", true},
		{403, "application/xml", true},
		{404, "", true},
		{200, "text/html; charset=utf-8", false},
		{301, "", false},
		{307, "application/xml", false},
		{500, "application/xml", false},
		{503, "", false},
	} {
		r := routeBy(t, &answering{status: c.status, kind: c.kind})
		if there := r.current() == r.near; there != c.there {
			t.Errorf("status %d, %q: taken for a store: %v", c.status, c.kind, there)
		}
		r.close()
	}
}

// Which answers say that LOTA is broken, and of whom.
func TestRouteBroken(t *testing.T) {
	r := routeBy(t, &answering{status: 403})
	defer r.close()
	for _, c := range []struct {
		host, method string
		status       int
		text         string
		broken       bool
	}{
		{nearHost, "GET", 500, "", true},
		{nearHost, "GET", 502, "", true},
		{nearHost, "GET", 504, "", true},
		{"bucket." + nearHost + ":80", "GET", 502, "", true},
		{nearHost, "GET", 503, "no healthy upstream", true},
		{nearHost, "GET", 503, "<Error><Code>SlowDown</Code></Error>", false},
		{nearHost, "HEAD", 503, "", false},
		{nearHost, "GET", 501, "", false},
		{nearHost, "GET", 404, "", false},
		{originHost, "GET", 502, "", false},
		{"not" + nearHost, "GET", 502, "", false},
	} {
		resp := &http.Response{
			StatusCode: c.status, Body: io.NopCloser(strings.NewReader(c.text)),
			Request: &http.Request{Method: c.method, URL: &url.URL{Scheme: "http", Host: c.host}},
		}
		if err := r.broken(resp); (err != nil) != c.broken {
			t.Errorf("%s %s, status %d, %q: %v", c.method, c.host, c.status, c.text, err)
		}
		if text, err := io.ReadAll(resp.Body); string(text) != c.text || err != nil {
			t.Errorf("what is left of the answer is %q, %v", text, err)
		}
	}
}

// LOTA can be left and found again more than once; one asks at a time, and nobody once the route is closed.
func TestRouteIsLeftAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := &answering{status: 403}
		r := routeBy(t, way)
		fail := func() {
			for range failuresToLeave {
				r.note(nearHost, errors.New("no answer"))
			}
		}
		for n := range 3 {
			fail()
			if r.current() != r.origin {
				t.Fatalf("time %d: it is not left", n)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if r.current() != r.near {
				t.Fatalf("time %d: it is not found again", n)
			}
		}
		way.err = errors.New("no route to host")
		fail()
		way.asked = 0
		r.mu.Lock()
		r.askLater() // somebody asks already
		r.mu.Unlock()
		time.Sleep(firstPause + time.Millisecond)
		synctest.Wait()
		if way.asked != 1 {
			t.Errorf("asked %d times at once", way.asked)
		}
		r.close()
		r.mu.Lock()
		r.asking = false
		r.askLater()
		asking := r.asking
		r.mu.Unlock()
		if asking {
			t.Error("a closed route asks")
		}
	})
}
