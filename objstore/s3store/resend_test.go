package s3store

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// verifySignature makes sure that a request was signed for the host that it came to.
func verifySignature(t *testing.T, r *http.Request) {
	t.Helper()
	u, err := url.Parse("http://" + r.Host + r.RequestURI)
	at, err2 := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, signed := strings.Cut(rest, ",")
	if err != nil || err2 != nil || !signed {
		t.Errorf("%s %s%s is not signed", r.Method, r.Host, r.URL)
		return
	}
	again := &http.Request{Method: r.Method, URL: u, Host: r.Host, Header: make(http.Header), ContentLength: r.ContentLength}
	for name := range strings.SplitSeq(names, ";") {
		if v := r.Header.Values(name); len(v) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	credential := aws.Credentials{AccessKeyID: testAccessKey, SecretAccessKey: testSecretKey}
	err = signer.SignHTTP(t.Context(), credential, again, r.Header.Get(headerContentSHA), "s3", "us-east-1", at)
	if err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		t.Errorf("%s %s%s: the signature is of another request: %v", r.Method, r.Host, r.URL, err)
	}
}

// A redirect to another host is followed with a signature for that host, by both ways of sending.
func TestARedirectIsSignedAnew(t *testing.T) {
	front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}})
	hosts := make(map[string]int)
	b := bucketOver(t, Config{Endpoint: "http://127.0.0.1:1"}, func(w http.ResponseWriter, r *http.Request) {
		verifySignature(t, r)
		hosts[r.Host]++
		if r.Host != "moved.test:2" {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "http://moved.test:2"+r.RequestURI)
			w.WriteHeader(http.StatusTemporaryRedirect)
			_, _ = io.WriteString(w, "<Error><Code>TemporaryRedirect</Code></Error>")
			return
		}
		front.ServeHTTP(w, r)
	})
	use(t, b)
	if err := b.Delete(t.Context(), "dir/a key"); err != nil {
		t.Error(err)
	}
	if hosts["moved.test:2"] != hosts["127.0.0.1:1"] || len(hosts) != 2 {
		t.Errorf("requests went to %v", hosts)
	}
}

// Where a source of credentials redirects to is no place to send an object to.
func TestARedirectOfASourceIsNotTheStores(t *testing.T) {
	elsewhere := &http.Response{
		StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"http://agent.test/"}},
		Request: &http.Request{URL: &url.URL{Scheme: "http", Host: "sts.test", Path: "/"}},
	}
	answer := &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: elsewhere}, Err: errors.New("moved"),
	}}
	b := bucketOver(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	asked := 0
	b.client.credentials.inner = failing(func() error {
		asked++
		return answer
	})
	if err := b.Delete(t.Context(), "key"); err == nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// failing is a source of credentials that has none.
type failing func() error

func (f failing) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials{}, f() }

// A redirect in a circle ends.
func TestRedirectsEnd(t *testing.T) {
	requests := 0
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("Location", r.RequestURI)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	for name, send := range map[string]func() error{
		"GET":    func() error { _, err := b.Stat(t.Context(), "key"); return err },
		"DELETE": func() error { return b.Delete(t.Context(), "key") },
	} {
		requests = 0
		if err := send(); err == nil || requests != redirectLimit+1 {
			t.Errorf("%s: %d requests, %v", name, requests, err)
		}
	}
}

// Where a redirect leads to. Nothing that began over TLS goes on without.
func TestRedirectTarget(t *testing.T) {
	for _, test := range []struct {
		from     string
		status   int
		location string
		want     string
	}{
		{"http://a/b/k", 307, "http://c/b/k", "http://c/b/k"},
		{"http://a/b/k", 308, "https://c/b/k", "https://c/b/k"},
		{"https://a/b/k", 307, "https://c:444/b/k%20l?x=1", "https://c:444/b/k%20l?x=1"},
		{"https://a/b/k", 307, "/other", "https://a/other"},
		{"https://a/b/k", 307, "http://c/b/k", ""},
		{"https://a/b/k", 307, "ftp://c/b/k", ""},
		{"http://a/b/k", 307, "ftp://c/b/k", ""},
		{"http://a/b/k", 307, "http://user:password@c/b/k", ""},
		{"http://a/b/k", 307, "http:", ""},
		{"http://a/b/k", 307, "", ""},
		{"http://a/b/k", 301, "http://c/b/k", ""},
		{"http://a/b/k", 302, "http://c/b/k", ""},
		{"http://a/b/k", 200, "http://c/b/k", ""},
	} {
		from, err := url.Parse(test.from)
		if err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{StatusCode: test.status, Header: http.Header{"Location": {test.location}}, Request: &http.Request{URL: from}}
		got := ""
		if to := redirectTarget(resp); to != nil {
			got = to.String()
		}
		if got != test.want {
			t.Errorf("%d from %s to %s: %q, want %q", test.status, test.from, test.location, got, test.want)
		}
	}
}
