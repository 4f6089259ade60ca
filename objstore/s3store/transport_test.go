package s3store

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

func TestAConnectionServesRequestAfterRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodHead:
				w.WriteHeader(http.StatusNotFound)
			case http.MethodGet:
				answerChunked("abcdefghij", false)(w, r)
			}
		})
		conns := &b.client.transport.conns
		for range 3 {
			if _, err := b.Stat(t.Context(), "key"); err == nil {
				t.Error("the object exists")
			}
			body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(body, make([]byte, 10)); err != nil { // the end is not asked for
				t.Fatal(err)
			}
			body.Close()
			synctest.Wait()
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// openAll begins n GETs at once, so that each has a connection of its own.
func openAll(t *testing.T, b *Bucket, n int) []io.ReadCloser {
	t.Helper()
	bodies := make([]io.ReadCloser, n)
	for i := range bodies {
		var err error
		if bodies[i], err = b.Open(t.Context(), testVersion, objstore.Range{Len: 10}); err != nil {
			t.Fatal(err)
		}
	}
	return bodies
}

// The bound is for all hosts together, of which each bucket may be one.
func TestIdleConnectionsOfOtherBucketsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns = 8
		release := make(chan struct{})
		one := bucketOver(t, Config{Endpoint: "http://store.test:81", MaxConns: conns}, stallingHandler(release))
		two, err := one.client.bucketIn(t.Context(), "other", "us-east-1")
		if err != nil {
			t.Fatal(err)
		}
		first := openAll(t, one, conns)
		close(release)
		readAll(t, first)
		readAll(t, openAll(t, two, conns))
		synctest.Wait()
		if n := one.client.transport.conns.Load(); n > conns+conns/4+1 {
			t.Errorf("%d connections are kept of %d allowed", n, conns)
		}
	})
}

// Connections in use when the limit fell go with the next request.
func TestTheLimitFallsUnderRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := bucketOver(t, Config{}, stallingHandler(release))
		bodies := openAll(t, b, 8)
		b.client.SetMaxConns(2)
		bodies = append(bodies, openAll(t, b, 1)...)
		close(release)
		readAll(t, bodies)
		readAll(t, openAll(t, b, 1))
		synctest.Wait()
		if n := b.client.transport.conns.Load(); n > 2 {
			t.Errorf("%d connections are kept of 2 allowed", n)
		}
	})
}

func readAll(t *testing.T, bodies []io.ReadCloser) {
	t.Helper()
	for _, body := range bodies {
		if got, err := io.ReadAll(body); err != nil || string(got) != "abcdefghij" {
			t.Errorf("read %q, %v", got, err)
		}
		body.Close()
	}
}

func TestSetMaxConnsBreaksNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := bucketOver(t, Config{}, stallingHandler(release))
		bodies := openAll(t, b, 4)
		b.client.SetMaxConns(2)
		synctest.Wait()
		if n := b.client.transport.conns.Load(); n != 4 {
			t.Errorf("%d connections are open for 4 requests under way", n)
		}
		close(release)
		readAll(t, bodies)
	})
}

func TestSetMaxConnsDropsIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := bucketOver(t, Config{}, stallingHandler(release))
		bodies := openAll(t, b, 4)
		close(release)
		readAll(t, bodies)
		conns := &b.client.transport.conns
		b.client.SetMaxConns(4)
		synctest.Wait()
		if n := conns.Load(); n != 4 {
			t.Errorf("%d connections are kept of 4 allowed", n)
		}
		b.client.SetMaxConns(2)
		synctest.Wait()
		if n := conns.Load(); n > 2 {
			t.Errorf("%d connections are kept of 2 allowed", n)
		}
	})
}

func TestATemporaryRedirectIsFollowed(t *testing.T) {
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("moved") == "" {
			w.Header().Set("Location", "http://127.0.0.1:1/bucket/key?moved=1")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		answerChunked("abcdefghij", false)(w, r)
	})
	body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != "abcdefghij" {
		t.Errorf("read %q, %v", got, err)
	}
}
