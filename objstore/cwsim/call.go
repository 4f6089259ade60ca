package cwsim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// call is one request for a bucket or an object in it.
type call struct {
	store  *Store
	bucket *bucket
	lota   bool
	key    string // "" for the bucket
}

func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, http.StatusText(status))
	}
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request, c *call) {
	if c.key != "" {
		if !s.enterPartition(c) {
			refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		defer s.leavePartition(c)
	}
	if !pause(r.Context(), s.options.RequestCost) {
		return
	}
	if c.key != "" && r.Method == http.MethodGet && !r.URL.Query().Has("tagging") {
		c.get(w, r)
		return
	}
	if !s.awaitTurn(r) {
		return
	}
	switch {
	case c.key != "" && r.Method == http.MethodHead:
		c.head(w, r)
	case r.Method == http.MethodPut || r.Method == http.MethodPost || r.Method == http.MethodDelete:
		if c.bucket.Away && !pause(r.Context(), s.options.FarLatency) {
			return
		}
		answer := &answered{ResponseWriter: w, status: http.StatusOK}
		c.bucket.front.ServeHTTP(answer, r)
		ofUpload := r.URL.Query().Has("uploadId") // which changes the object with its end only
		if answer.status < http.StatusMultipleChoices && ofUpload == (r.Method == http.MethodPost) {
			s.written(c, r)
		}
	default:
		c.bucket.front.ServeHTTP(w, r)
	}
}

// awaitTurn waits for as long as a request takes that is no GET of an object, and tells whether its client has.
func (s *Store) awaitTurn(r *http.Request) bool {
	if s.options.Requests.Peak == 0 {
		return true
	}
	if !takeBody(r) {
		return false
	}
	s.countOther(1)
	defer s.countOther(-1)
	for {
		d, ok := s.options.Requests.Time(s.countOther(0), 1)
		if ok {
			return pause(r.Context(), d)
		}
		if !pause(r.Context(), hangCheck) {
			return false
		}
	}
}

// takeBody reads what a request sends, which it keeps: only then can it be noticed that its client has gone. It tells
// whether all of it came.
func takeBody(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// head tells of an object. Of a bare prefix it says nothing helpful; with a range it has LOTA fetch the object, and
// believes itself to be sending one byte.
func (c *call) head(w http.ResponseWriter, r *http.Request) {
	e, err := c.bucket.store.Stat(r.Context(), c.key)
	if err != nil && c.isPrefix(r) {
		refuse(w, r, http.StatusBadRequest, "InvalidRequest")
		return
	}
	if err == nil && r.Header.Get("Range") == "bytes=0-0" && e.Size > 0 {
		if c.lota && e.Size > LargestUncached {
			c.store.stage(c, c.store.options.StageTime)
		}
		w.Header().Set("Etag", `"`+e.ETag+`"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-0/%d", e.Size))
		w.Header().Set("Content-Length", "1")
		w.WriteHeader(http.StatusPartialContent)
		return
	}
	c.bucket.front.ServeHTTP(w, r)
}

// isPrefix tells whether keys begin with c's and a slash.
func (c *call) isPrefix(r *http.Request) bool {
	prefix := strings.TrimSuffix(c.key, "/") + "/"
	for page, err := range c.bucket.store.List(r.Context(), objstore.ListOptions{Prefix: prefix, PageSize: 1}) {
		return err == nil && len(page.Entries) > 0
	}
	return false
}

// get sends an object at the pace there is.
func (c *call) get(w http.ResponseWriter, r *http.Request) {
	stalls := c.store.beginGet()
	defer c.store.endGet()
	if stalls && !pause(r.Context(), c.store.options.StallTime) {
		return
	}
	if c.lota && !c.store.Resident(c.bucket.Name, c.key) {
		if !pause(r.Context(), c.store.options.Miss) {
			return
		}
		if e, err := c.bucket.store.Stat(r.Context(), c.key); err == nil && e.Size > LargestUncached {
			c.store.stage(c, 0)
		}
	}
	c.bucket.front.ServeHTTP(&pacedWriter{ResponseWriter: w, request: r, store: c.store, due: time.Now()}, r)
}

// hangCheck is how often what hangs looks whether there are fewer requests now.
const hangCheck = 100 * time.Millisecond

// pacedPiece is how much is sent at a time: small against a request, so that the pace follows the number of requests.
const pacedPiece = 64 << 10

// pacedWriter sends a body at the pace of the model.
type pacedWriter struct {
	http.ResponseWriter
	request *http.Request
	store   *Store
	due     time.Time // when the next piece may go
}

func (w *pacedWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), pacedPiece)]
		if !w.await(int64(len(piece))) {
			return written, io.ErrClosedPipe
		}
		n, err := w.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// await waits for the time of n bytes; while the store hangs, for better times.
func (w *pacedWriter) await(n int64) bool {
	for {
		d, ok := w.store.timeOf(n)
		if ok {
			w.due = w.due.Add(d)
			return pause(w.request.Context(), time.Until(w.due))
		}
		if !pause(w.request.Context(), hangCheck) {
			return false
		}
		w.due = time.Now()
	}
}
