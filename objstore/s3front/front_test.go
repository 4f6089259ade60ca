package s3front_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// ask sends one request straight to a front.
func ask(front http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	front.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// The rest of the protocol is proved by the conformance suite, which s3store passes over a front.
func TestRefusals(t *testing.T) {
	front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}})
	for _, test := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "/other/key", 404, "NoSuchBucket"},
		{"GET", "/bucket/key", 404, "NoSuchKey"},
		{"HEAD", "/bucket/key", 404, ""},
		{"GET", "/bucket?list-type=2&max-keys=x", 400, "InvalidArgument"},
		{"GET", "/bucket?acl", 501, "NotImplemented"},
		{"PATCH", "/bucket/key", 501, "NotImplemented"},
		{"PUT", "/bucket/key?uploadId=none&partNumber=0", 400, "InvalidArgument"},
		{"POST", "/bucket/key?uploadId=none", 400, "MalformedXML"},
	} {
		w := ask(front, test.method, test.target)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.code) || (test.method == "HEAD" && w.Body.Len() > 0) {
			t.Errorf("%s %s: %d %s", test.method, test.target, w.Code, w.Body)
		}
	}
}

func TestBeforeMayAnswer(t *testing.T) {
	front := s3front.New(s3front.Options{
		Buckets: []objstore.Bucket{memstore.New("bucket")},
		Before: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/bucket/broken" {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "later")
			return true
		},
	})
	if w := ask(front, "GET", "/bucket/broken"); w.Code != http.StatusServiceUnavailable || w.Body.String() != "later" {
		t.Errorf("answered by the hook: %d %s", w.Code, w.Body)
	}
	if w := ask(front, "GET", "/bucket/key"); w.Code != http.StatusNotFound {
		t.Errorf("passed by the hook: %d %s", w.Code, w.Body)
	}
}

func TestBucketsAreListed(t *testing.T) {
	front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("one"), memstore.New("two")}})
	w := ask(front, "GET", "/")
	if text := w.Body.String(); !strings.Contains(text, "<Name>one</Name></Bucket><Bucket><Name>two</Name>") {
		t.Errorf("listed %s", text)
	}
}
