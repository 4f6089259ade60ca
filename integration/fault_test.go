package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fault is one way in which a proxy breaks requests.
type fault struct {
	operation string // which requests: this operation ...
	key       string // ... and this key, "" for any
	changes   bool   // only requests that change the bucket
	times     int    // how many of them; 0 for all until the proxy is healed
	skip      int    // how many pass first

	act func(w http.ResponseWriter, r *http.Request, next http.Handler, healed <-chan struct{})

	mu     sync.Mutex // guards seen
	seen   int        // requests that matched
	healed chan struct{}
}

// inject breaks requests from now on.
func (p *proxy) inject(f *fault) *fault {
	f.healed = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f
}

// heal ends all faults; what they hold up goes on.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		close(f.healed)
	}
	p.faults = nil
}

// takes tells whether the fault breaks this request, and counts it.
func (f *fault) takes(r request) bool {
	if f.operation != "" && f.operation != r.operation || f.key != "" && f.key != r.key {
		return false
	}
	if f.changes && !slices.Contains([]string{http.MethodPut, http.MethodPost, http.MethodDelete}, r.operation) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	return f.seen > f.skip && (f.times == 0 || f.seen <= f.skip+f.times)
}

// hits is how many requests the fault has broken.
func (f *fault) hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	hits := max(f.seen-f.skip, 0)
	if f.times > 0 {
		hits = min(hits, f.times)
	}
	return hits
}

func (f *fault) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	f.act(w, r, next, f.healed)
}

// action is what a fault does to one request.
type action = func(w http.ResponseWriter, r *http.Request, next http.Handler, healed <-chan struct{})

// answer gives the store's error without asking the server.
func answer(status int, code string, headers ...string) action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ <-chan struct{}) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("x-amz-request-id", "FAULT")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>by the test</Message></Error>`, code)
	}
}

// hold keeps the request without an answer until the proxy is healed.
func hold() action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, healed <-chan struct{}) {
		select {
		case <-healed:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// rewrite changes the response's headers.
func rewrite(change func(http.Header)) action {
	return modify(func(resp *http.Response, _ <-chan struct{}) { change(resp.Header) })
}

// flip has one bit of what is sent be wrong when it arrives.
func flip() action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
		r.Body = &flippedBody{ReadCloser: r.Body}
		next.ServeHTTP(w, r)
	}
}

// flippedBody has one wrong bit.
type flippedBody struct {
	io.ReadCloser
	done bool
}

func (b *flippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.done {
		p[n/2] ^= 0x10
		b.done = true
	}
	return n, err
}

// truncate ends the body after n bytes by closing the connection.
func truncate(n int64) action {
	return modify(func(resp *http.Response, _ <-chan struct{}) {
		resp.Body = &brokenBody{inner: resp.Body, left: n, end: func() error { return io.ErrUnexpectedEOF }}
	})
}

// reset ends the body after n bytes by resetting the connection: what is in the client's socket is lost too.
func reset(n int64) action {
	return modify(func(resp *http.Response, _ <-chan struct{}) {
		conn, _ := resp.Request.Context().Value(connKey{}).(*net.TCPConn)
		resp.Body = &brokenBody{inner: resp.Body, left: n, end: func() error {
			conn.SetLinger(0)
			return io.ErrUnexpectedEOF
		}}
	})
}

// stall stops the body after n bytes until the proxy is healed or the client goes away. Then the connection is closed.
func stall(n int64) action {
	return modify(func(resp *http.Response, healed <-chan struct{}) {
		resp.Body = &brokenBody{inner: resp.Body, left: n, end: func() error {
			select {
			case <-healed:
			case <-resp.Request.Context().Done():
			}
			return io.ErrUnexpectedEOF
		}}
	})
}

// trickle lets the body through at the given bytes each interval.
func trickle(bytes int, interval time.Duration) action {
	return modify(func(resp *http.Response, healed <-chan struct{}) {
		resp.Body = &slowBody{inner: resp.Body, bytes: bytes, ticker: time.NewTicker(interval), healed: healed, gone: resp.Request.Context().Done()}
	})
}

// shorten says that the object is shorter than it is, and delivers accordingly.
func shorten(n int64) action {
	return modify(func(resp *http.Response, _ <-chan struct{}) {
		short := resp.ContentLength - n
		resp.ContentLength = short
		resp.Header.Set("Content-Length", strconv.FormatInt(short, 10))
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, short), resp.Body}
	})
}

// modifierKey is the context's key of the function that breaks a request's response.
type modifierKey struct{}

type modifier func(*http.Response)

// modify passes the request on and breaks the response.
func modify(change func(resp *http.Response, healed <-chan struct{})) action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, healed <-chan struct{}) {
		m := modifier(func(resp *http.Response) { change(resp, healed) })
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), modifierKey{}, m)))
	}
}

// breakResponse is the proxy's hook between the server's headers and the client's.
func breakResponse(resp *http.Response) error {
	if m, ok := resp.Request.Context().Value(modifierKey{}).(modifier); ok {
		m(resp)
	}
	return nil
}

// brokenBody gives left bytes of inner and then what end returns.
type brokenBody struct {
	inner io.ReadCloser
	left  int64
	end   func() error
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.end()
	}
	n, err := b.inner.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (b *brokenBody) Close() error { return b.inner.Close() }

// slowBody gives a few bytes at each tick.
type slowBody struct {
	inner        io.ReadCloser
	bytes        int
	ticker       *time.Ticker
	healed, gone <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-b.healed:
		return b.inner.Read(p)
	case <-b.gone:
		return 0, io.ErrUnexpectedEOF
	case <-b.ticker.C:
		return b.inner.Read(p[:min(len(p), b.bytes)])
	}
}

func (b *slowBody) Close() error {
	b.ticker.Stop()
	return b.inner.Close()
}

// otherETag is an ETag that no object of the tests has.
func otherETag() string { return `"` + strings.Repeat("f", 32) + `"` }
