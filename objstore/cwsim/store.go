package cwsim

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

const (
	// LotaHost and OriginHost are the names of the two endpoints; a bucket's is below them.
	LotaHost   = "cwlota.com"
	OriginHost = "cwobject.com"
	// Zone is the region of a bucket that says none.
	Zone = "US-EAST-04A"
	// LargestUncached is the size up to which LOTA keeps nothing.
	LargestUncached = 4_000_000
)

// Bucket is one to be made.
type Bucket struct {
	Name   string
	Zone   string        // default [Zone]
	Away   bool          // its home is elsewhere: writes take FarLatency longer
	Settle time.Duration // for so long after its making the bucket answers InvalidRegion
}

// Options says how the store behaves. The zero value answers at once and refuses nothing that a real store takes.
type Options struct {
	Buckets []Bucket

	Model       Model         // of all GETs of objects; it can be changed later: [Store.SetModel]
	Requests    Model         // of all other requests of buckets, which count as a byte each: its peak is so many of them a second
	RequestCost time.Duration // before the first byte of any answer
	Miss        time.Duration // before the first byte that LOTA has to fetch from the store
	StageTime   time.Duration // from a pre-staging HEAD until LOTA holds the object
	FarLatency  time.Duration // of each write to a bucket whose home is elsewhere

	StallEvery int           // each n-th GET of an object stalls before its first byte; 0 for none
	StallTime  time.Duration // for so long

	PartitionLimit int // requests at a time for keys that begin with the same six bytes, above which 503 is the answer; 0 for any number
}

// Request is one that came.
type Request struct {
	Host   string // LotaHost or OriginHost
	Bucket string
	Method string
	Key    string
	Range  string
	Query  string
	At     time.Time
}

// Store is the simulated service. Methods may be called at any time.
type Store struct {
	options Options
	made    time.Time
	buckets map[string]*bucket
	names   *s3front.Front // lists them

	mu        sync.Mutex // guards what follows
	model     Model
	down      map[string]bool
	active    int            // GETs of objects under way
	others    int            // requests under way that are none
	gets      int            // of objects so far
	parts     map[string]int // requests under way, by partition
	resident  map[string]time.Time
	requests  []Request
	throttled int
	holds     []*hold
}

type bucket struct {
	Bucket
	store *memstore.Store
	front *s3front.Front
}

// New makes a store with empty buckets.
func New(options Options) *Store {
	s := &Store{
		options: options, made: time.Now(), buckets: make(map[string]*bucket), model: options.Model,
		down: make(map[string]bool), parts: make(map[string]int), resident: make(map[string]time.Time),
	}
	var all []objstore.Bucket
	for _, o := range options.Buckets {
		if o.Zone == "" {
			o.Zone = Zone
		}
		store := memstore.New(o.Name)
		s.buckets[o.Name] = &bucket{Bucket: o, store: store, front: s3front.New(s3front.Options{
			Buckets: []objstore.Bucket{store}, Domain: OriginHost, Region: o.Zone,
		})}
		all = append(all, store)
	}
	s.names = s3front.New(s3front.Options{Buckets: all, Domain: OriginHost})
	return s
}

// Bucket is the content of one, behind the endpoints' backs.
func (s *Store) Bucket(name string) *memstore.Store { return s.buckets[name].store }

// SetModel changes what GETs get, from now on.
func (s *Store) SetModel(m Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model = m
}

// Down takes an endpoint away, or brings it back: its connections are cut before an answer.
func (s *Store) Down(host string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[host] = down
}

// Requests are those that came so far, in order.
func (s *Store) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Throttled is how many were answered with 503.
func (s *Store) Throttled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.throttled
}

// ServeHTTP answers one request.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.Host, ":")
	host, bucketName := endpointOf(name)
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	key, err := url.PathUnescape(path)
	if host == "" || err != nil {
		refuse(w, r, http.StatusBadRequest, "InvalidRequest")
		return
	}
	request := Request{host, bucketName, r.Method, key, r.Header.Get("Range"), r.URL.RawQuery, time.Now()}
	if s.note(request) || !s.awaitHolds(request, r) {
		panic(http.ErrAbortHandler)
	}
	if bucketName == "" {
		if path != "" {
			refuse(w, r, http.StatusBadRequest, "PathStyleRequestNotAllowed")
			return
		}
		if r.Header.Get("Authorization") == "" {
			refuse(w, r, http.StatusForbidden, "AccessDenied")
			return
		}
		s.names.ServeHTTP(w, r)
		return
	}
	b := s.buckets[bucketName]
	switch {
	case b == nil:
		refuse(w, r, http.StatusNotFound, "NoSuchBucket")
	case time.Since(s.made) < b.Settle:
		refuse(w, r, http.StatusBadRequest, "InvalidRegion")
	default:
		r = r.Clone(r.Context())
		r.Host = bucketName + "." + OriginHost
		s.serve(w, r, &call{store: s, bucket: b, lota: host == LotaHost, key: key})
	}
}

// endpointOf splits a host's name into endpoint and bucket; "" for a name that is neither's.
func endpointOf(name string) (host, bucketName string) {
	for _, host := range []string{LotaHost, OriginHost} {
		if name == host {
			return host, ""
		}
		if bucketName, ok := strings.CutSuffix(name, "."+host); ok {
			return host, bucketName
		}
	}
	return "", ""
}

// note records a request, and tells whether its endpoint is down.
func (s *Store) note(r Request) (down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down[r.Host] {
		return true
	}
	s.requests = append(s.requests, r)
	return false
}

// pause waits, unless ctx ends; it tells which.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
