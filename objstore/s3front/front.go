package s3front

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

// Options says what is served, and how.
type Options struct {
	Buckets []objstore.Bucket
	Domain  string // "BUCKET.Domain" addresses a bucket by its host name; "" for path-style only
	Region  string // requests must be signed for it; "" for any region, signed or not
	// Before sees each request first, and tells whether it has answered it. It may break the connection by
	// panic(http.ErrAbortHandler). nil for none.
	Before func(w http.ResponseWriter, r *http.Request) (done bool)
}

// Front is an [http.Handler], meant for httptest.NewServer.
type Front struct {
	options Options
	buckets map[string]objstore.Bucket
	serial  atomic.Int64 // of requests, for their ids

	mu    sync.Mutex                 // guards parts
	parts map[string]map[int32]int64 // sizes of the parts stored, by upload and number: completing names no sizes
}

// New makes a front. Buckets of one name replace each other.
func New(options Options) *Front {
	f := &Front{options: options, buckets: make(map[string]objstore.Bucket), parts: make(map[string]map[int32]int64)}
	for _, b := range options.Buckets {
		f.buckets[b.Name()] = b
	}
	return f
}

// request is one request, taken apart.
type request struct {
	w      http.ResponseWriter
	r      *http.Request
	query  url.Values
	bucket objstore.Bucket
	key    string
}

// ServeHTTP answers one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amz-Request-Id", "front-"+strconv.FormatInt(f.serial.Add(1), 10))
	if f.options.Before != nil && f.options.Before(w, r) {
		return
	}
	name, key, err := f.split(r)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "InvalidURI")
		return
	}
	if !f.signedForRegion(r) {
		f.refuseRegion(w, r)
		return
	}
	if name == "" {
		f.listBuckets(w)
		return
	}
	q := &request{w: w, r: r, query: r.URL.Query(), bucket: f.buckets[name], key: key}
	if q.bucket == nil {
		q.refuse(http.StatusNotFound, "NoSuchBucket")
		return
	}
	if f.options.Region != "" {
		w.Header().Set("X-Amz-Bucket-Region", f.options.Region)
	}
	if key == "" {
		f.serveBucket(q)
		return
	}
	f.serveObject(q)
}

// split finds bucket and key, by the host's name or the path. Nothing in the path is cleaned.
func (f *Front) split(r *http.Request) (bucket, key string, err error) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	host, _, _ := strings.Cut(r.Host, ":")
	if b, ok := strings.CutSuffix(host, "."+f.options.Domain); ok && f.options.Domain != "" {
		key, err = url.PathUnescape(path)
		return b, key, err
	}
	bucket, path, _ = strings.Cut(path, "/")
	key, err = url.PathUnescape(path)
	return bucket, key, err
}

// signedForRegion looks at the scope of the signature only.
func (f *Front) signedForRegion(r *http.Request) bool {
	return f.options.Region == "" || strings.Contains(r.Header.Get("Authorization"), "/"+f.options.Region+"/s3/aws4_request")
}

// refuseRegion says which region to sign for, in both of the ways in which stores do.
func (f *Front) refuseRegion(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amz-Bucket-Region", f.options.Region)
	w.WriteHeader(http.StatusBadRequest)
	if r.Method != http.MethodHead {
		writeXML(w, errorDocument{Code: "AuthorizationHeaderMalformed", Region: f.options.Region})
	}
}

func (f *Front) serveBucket(q *request) {
	switch {
	case q.r.Method == http.MethodHead:
	case q.r.Method == http.MethodGet && q.query.Get("list-type") == "2":
		q.list()
	case q.r.Method == http.MethodGet && q.query.Has("uploads"):
		q.listUploads()
	default:
		q.refuse(http.StatusNotImplemented, "NotImplemented")
	}
}

func (f *Front) serveObject(q *request) {
	upload, isUpload := q.query.Get("uploadId"), q.query.Has("uploadId")
	copies := q.r.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case q.r.Method == http.MethodHead:
		q.head()
	case q.r.Method == http.MethodGet && q.query.Has("tagging"):
		q.tags()
	case q.r.Method == http.MethodGet:
		q.get()
	case q.r.Method == http.MethodPut && isUpload && copies:
		f.copyPart(q, upload)
	case q.r.Method == http.MethodPut && isUpload:
		f.uploadPart(q, upload)
	case q.r.Method == http.MethodPut && copies:
		q.copy()
	case q.r.Method == http.MethodPut && q.query.Has("renameObject"):
		q.rename()
	case q.r.Method == http.MethodPut:
		q.put()
	case q.r.Method == http.MethodPost && q.query.Has("uploads"):
		q.createUpload()
	case q.r.Method == http.MethodPost && isUpload:
		f.completeUpload(q, upload)
	case q.r.Method == http.MethodDelete && isUpload:
		f.abortUpload(q, upload)
	case q.r.Method == http.MethodDelete:
		q.delete()
	default:
		q.refuse(http.StatusNotImplemented, "NotImplemented")
	}
}
