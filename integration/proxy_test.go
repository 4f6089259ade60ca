package integration

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands in front of the S3 server, records every request and breaks those it is told to break. It passes the
// Host header on unchanged, since the requests are signed for it.
type proxy struct {
	server *httptest.Server

	mu      sync.Mutex // guards what follows
	log     []*request // all since the last take
	begun   int        // requests begun since the proxy started
	running int        // requests not yet answered in full
	most    int        // the most there ever were
	changes int        // how often a request began or ended
	faults  []*fault   // in the order in which they are tried
}

// request is one request in S3's terms.
type request struct {
	operation string // "GET", "HEAD", "LIST", "HEADBUCKET", "LISTBUCKETS", or the bare method for anything else
	bucket    string
	key       string // for LIST the prefix
	detail    string // range, step of a multipart upload, copy and condition, or the listing's options

	began  time.Time
	failed bool // its client gave it up after it had waited for tooLong
}

// tooLong is for how long a request waits at least that is given up since the store seems dead, or is overtaken by a
// second one: where the machine has time, none does.
const tooLong = time.Second

// String is the request as it stands in a golden trace.
func (r request) String() string {
	return strings.TrimRight(fmt.Sprintf("%s /%s %s", r.operation, r.key, r.detail), " ")
}

// settled is at how many looks in a row, five milliseconds apart or more, nothing must have happened before a proxy's
// record is taken to be complete: much longer than a client takes to follow up one request, or a command, with the next
// request. On a machine that has no time the looks come later, as the request does.
const settled = 50

// newProxy puts a proxy in front of the server at endpoint, for the life of the test.
func newProxy(t *testing.T, endpoint string) *proxy {
	t.Helper()
	target := must[*url.URL](t)(url.Parse(endpoint))
	p := &proxy{}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 512}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport:      transport,
		FlushInterval:  -1, // a broken body must arrive up to the byte where it breaks
		BufferPool:     &bufferPool{},
		ModifyResponse: breakResponse,
		ErrorLog:       log.New(discard{}, "", 0), // broken bodies are what it is for
	}
	p.server = httptest.NewUnstartedServer(p.handler(reverse))
	p.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	p.server.Config.ErrorLog = log.New(discard{}, "", 0)
	p.server.Start()
	atEnd(t, func() {
		p.heal()
		p.server.CloseClientConnections()
		p.server.Close()
		transport.CloseIdleConnections()
	})
	return p
}

// endpoint is the proxy's URL.
func (p *proxy) endpoint() string { return p.server.URL }

func (p *proxy) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := parseRequest(r)
		f := p.begin(req)
		defer p.end(req, r.Context())
		if f == nil {
			next.ServeHTTP(w, r)
			return
		}
		f.serve(w, r, next)
	})
}

// begin records a request and finds the fault it runs into, if any.
func (p *proxy) begin(req *request) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, req)
	p.begun++
	p.running++
	p.most = max(p.most, p.running)
	p.changes++
	for _, f := range p.faults {
		if f.takes(*req) {
			return f
		}
	}
	return nil
}

func (p *proxy) end(req *request, client context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	req.failed = client.Err() != nil && time.Since(req.began) >= tooLong
	p.running--
	p.changes++
}

// take waits until no request is under way nor begun for a while from now on, and returns what was recorded since the
// last take, sorted: requests made in parallel have no order. What a machine without time has had to ask for again is
// one request.
func (p *proxy) take(t testing.TB) []string {
	t.Helper()
	seen, looks := -1, 0
	eventually(t, patience, "the requests to settle", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.running > 0 || p.changes != seen {
			seen, looks = p.changes, 0
		}
		looks++
		return looks > settled
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for i, r := range p.log {
		again := func(other *request) bool { return other.String() == r.String() }
		if !r.failed || !slices.ContainsFunc(p.log[i+1:], again) {
			lines = append(lines, r.String())
		}
	}
	p.log = nil
	slices.Sort(lines)
	return lines
}

// count is how many requests of the operation, or of any when it is "", were begun since the last take.
func (p *proxy) count(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.log {
		if operation == "" || r.operation == operation {
			n++
		}
	}
	return n
}

// mostAtOnce is the most requests that were under way at one time.
func (p *proxy) mostAtOnce() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// parseRequest tells what an HTTP request is to S3, path-style.
func parseRequest(r *http.Request) *request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	req := &request{operation: r.Method, bucket: bucket, key: key, began: time.Now()}
	switch {
	case bucket == "":
		req.operation = "LISTBUCKETS"
	case key == "" && r.Method == http.MethodHead:
		req.operation = "HEADBUCKET"
	case key == "" && query.Get("list-type") == "2":
		req.operation, req.key = "LIST", query.Get("prefix")
		req.detail = listingDetail(query)
	default:
		var details []string
		if v := r.Header.Get("Range"); v != "" {
			details = append(details, v)
		}
		for _, name := range []string{"uploads", "uploadId", "partNumber"} { // of a multipart upload; its id is chance
			switch {
			case name == "partNumber" && query.Has(name):
				details = append(details, "part "+query.Get(name))
			case query.Has(name):
				details = append(details, name)
			}
		}
		if source := r.Header.Get("x-amz-copy-source"); source != "" {
			details = append(details, strings.TrimSpace("copy "+r.Header.Get("x-amz-copy-source-range")))
		}
		for _, name := range []string{"if-match", "if-none-match", "x-amz-copy-source-if-match"} {
			if r.Header.Get(name) != "" {
				details = append(details, name)
			}
		}
		req.detail = strings.Join(details, " ")
	}
	return req
}

func listingDetail(query url.Values) string {
	var details []string
	for _, name := range []string{"delimiter", "max-keys", "start-after"} {
		if v := query.Get(name); v != "" {
			details = append(details, name+"="+v)
		}
	}
	if query.Has("continuation-token") {
		details = append(details, "continued")
	}
	return strings.Join(details, " ")
}

// connKey is the context's key of a request's connection.
type connKey struct{}

// discard is a log's end for what is no news.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// bufferPool gives the proxy buffers that suit bodies of 16 MiB.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 256<<10)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put(&buf) }
