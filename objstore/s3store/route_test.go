package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// twoEndpoints is a store with a cache in front, either of which can be broken.
type twoEndpoints struct {
	store        *memstore.Store
	near, origin *pipeServer

	mu   sync.Mutex // guards what follows
	down string     // the host that nothing listens at, with all below it
	cut  int        // bodies that the cache breaks off in the middle, from now on
	bad  int        // requests that it answers with 500, or 503 where there is text
	text string
	seen map[string]int
}

const (
	nearHost   = "near.test"
	originHost = "origin.test"
)

func newTwoEndpoints(t *testing.T) *twoEndpoints {
	e := &twoEndpoints{store: memstore.New("bucket"), seen: make(map[string]int)}
	serve := func(domain string) *pipeServer {
		front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{e.store}, Domain: domain})
		return servePipes(t, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, domain, front) })
	}
	e.near, e.origin = serve(nearHost), serve(originHost)
	return e
}

func (e *twoEndpoints) serve(w http.ResponseWriter, r *http.Request, domain string, front http.Handler) {
	e.mu.Lock()
	e.seen[domain]++
	bad, cut := domain == nearHost && e.bad > 0, domain == nearHost && e.cut > 0 && r.Header.Get("Range") != ""
	if bad {
		e.bad--
	}
	text := e.text
	if cut {
		e.cut--
	}
	e.mu.Unlock()
	switch {
	case bad && text != "":
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, text)
	case bad:
		w.WriteHeader(http.StatusInternalServerError)
	case cut:
		front.ServeHTTP(&cutWriter{ResponseWriter: w}, r)
	default:
		front.ServeHTTP(w, r)
	}
}

// cutWriter breaks the connection after the first bytes of a body.
type cutWriter struct{ http.ResponseWriter }

func (w *cutWriter) Write(p []byte) (int, error) {
	_, _ = w.ResponseWriter.Write(p[:min(len(p), 1000)])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (e *twoEndpoints) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	e.mu.Lock()
	down := e.down
	e.mu.Unlock()
	if down != "" && strings.HasSuffix(host, down) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if strings.HasSuffix(host, nearHost) {
		return e.near.dial(ctx, network, address)
	}
	return e.origin.dial(ctx, network, address)
}

func (e *twoEndpoints) set(down string, cut, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down, e.cut, e.bad = down, cut, bad
}

// since is how many requests came to each since it was last asked.
func (e *twoEndpoints) since() (near, origin int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	near, origin = e.seen[nearHost], e.seen[originHost]
	clear(e.seen)
	return near, origin
}

// client is one that chooses by itself.
func (e *twoEndpoints) client(t *testing.T) *Client {
	return newClient(t, Config{
		Endpoint: AutoEndpoint, AccessKey: testAccessKey, SecretKey: testSecretKey, dial: e.dial,
		near: "http://" + nearHost, origin: "http://" + originHost, Log: slog.New(slog.DiscardHandler),
	})
}

// bucket is the one of a new client.
func (e *twoEndpoints) bucket(t *testing.T) (*Client, *Bucket) {
	t.Helper()
	c := e.client(t)
	b, err := c.Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	return c, b
}

// Reads go to the near endpoint, go on at the other when it breaks, in the middle of a body too, and come back; no read
// fails, and the store is one.
func TestRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTwoEndpoints(t)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		stored, err := e.store.Put(t.Context(), "key", bytes.NewReader(data), int64(len(data)), objstore.Condition{}, objstore.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
		c, raw := e.bucket(t)
		b := objstore.NewRetry(raw, objstore.RetryPolicy{})
		read := func() {
			t.Helper()
			body, err := b.Open(t.Context(), objstore.VersionOf(b, stored), objstore.Range{Len: stored.Size})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
		goes := func(what string, near, origin bool) {
			t.Helper()
			if n, o := e.since(); (n > 0) != near || (o > 0) != origin {
				t.Fatalf("%s: %d requests to the near endpoint, %d to the other", what, n, o)
			}
		}
		read()
		goes("at first", true, false)
		e.set("", 1, 0)
		read()
		goes("one broken body", true, false)
		e.set("", 100, 0)
		read()
		goes("broken bodies", true, true)
		read()
		goes("left", false, true)
		e.set("", 0, 0)
		time.Sleep(10 * time.Second)
		e.since()
		read()
		goes("back", true, false)
		e.set("", 0, 100)
		for range 3 {
			if _, err := raw.Stat(t.Context(), "key"); err == nil {
				t.Error("a HEAD that was answered with 500 succeeds")
			}
		}
		e.since()
		read()
		goes("answers of 500", false, true)
		e.set("", 0, 0)
		time.Sleep(10 * time.Second)
		e.set(nearHost, 0, 0)
		c.transport.closeIdle()
		e.since()
		read()
		goes("unreachable", false, true)
		if b.Endpoint() != "http://"+originHost {
			t.Errorf("the store is %s", b.Endpoint())
		}
	})
}

// A 503 is the store's own word where it has the store's code, and tried again where it came from; one of a balancer
// has requests go to the other endpoint, and no read fails.
func TestRouteAround503(t *testing.T) {
	for text, left := range map[string]bool{"no healthy upstream": true, "<Error><Code>SlowDown</Code></Error>": false} {
		synctest.Test(t, func(t *testing.T) {
			e := newTwoEndpoints(t)
			stored, err := e.store.Put(t.Context(), "key", strings.NewReader("content"), 7, objstore.Condition{}, objstore.Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			c, raw := e.bucket(t)
			e.text = text
			e.set("", 0, 5)
			b := objstore.NewRetry(raw, objstore.RetryPolicy{})
			body, err := b.Open(t.Context(), objstore.VersionOf(b, stored), objstore.Range{Len: stored.Size})
			if err != nil {
				t.Fatal(err)
			}
			body.Close()
			if using, _ := c.Using(); (using == "http://"+originHost) != left {
				t.Errorf("%q: using %s", text, using)
			}
			c.Close() // ends the asking
		})
	}
}

// A cache that stops in the text of a 503 is broken; who gives up meanwhile has told nothing of it, however often.
func TestRouteAndTextThatStops(t *testing.T) {
	for _, gives := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			e := newTwoEndpoints(t)
			e.near = servePipes(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" && r.URL.RawQuery == "" { // what it is asked at start
					s3front.New(s3front.Options{Buckets: []objstore.Bucket{e.store}, Domain: nearHost}).ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, "<Error><Code>Slow")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			c := e.client(t)
			for range failuresToLeave {
				ctx, giveUp := context.WithCancel(t.Context())
				if gives {
					time.AfterFunc(time.Second, giveUp)
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bucket."+nearHost+"/key", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.transport.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if text, err := io.ReadAll(resp.Body); string(text) != "<Error><Code>Slow" || err == nil || errors.Is(err, context.Canceled) != gives {
					t.Errorf("the answer is %q, %v", text, err)
				}
				resp.Body.Close()
				giveUp()
			}
			if using, _ := c.Using(); (using == "http://"+nearHost) != gives {
				t.Errorf("callers give up: %v; using %s", gives, using)
			}
			c.Close() // ends the asking
		})
	}
}

// A cluster whose cache is not up yet, and a place where there is none.
func TestRouteAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTwoEndpoints(t)
		e.set(nearHost, 0, 0)
		c := e.client(t)
		b, err := c.Bucket(t.Context(), "bucket")
		if err != nil {
			t.Fatal(err)
		}
		use(t, b)
		if near, origin := e.since(); near != 0 || origin == 0 {
			t.Errorf("%d requests to the near endpoint, %d to the other", near, origin)
		}
		e.set("", 0, 0)
		time.Sleep(2 * longestPause)
		e.since()
		use(t, b)
		if near, origin := e.since(); near == 0 || origin != 0 {
			t.Errorf("it is up: %d requests to the near endpoint, %d to the other", near, origin)
		}
		if using, switches := c.Using(); using != "http://"+nearHost || switches != 1 {
			t.Errorf("using %s after %d changes", using, switches)
		}
	})
}

// What answers at the name of the cache and is no store is not taken for one.
func TestRouteDistrustsWebServers(t *testing.T) {
	e := newTwoEndpoints(t)
	e.near = servePipes(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>for sale</html>")
	})
	if using, _ := e.client(t).Using(); using != "http://"+originHost {
		t.Errorf("using %s", using)
	}
}

// Either endpoint by name is the same store.
func TestIdentityOfLota(t *testing.T) {
	for _, endpoint := range []string{Lota, Origin, "https://CWOBJECT.com"} {
		id, err := newClient(t, Config{Endpoint: endpoint, AccessKey: testAccessKey, SecretKey: testSecretKey}).Endpoint(t.Context())
		if err != nil || id != Origin {
			t.Errorf("%s is %s, %v", endpoint, id, err)
		}
	}
}
