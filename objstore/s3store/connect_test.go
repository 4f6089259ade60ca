package s3store

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// isolate keeps the machine's own AWS configuration out of a test.
func isolate(t *testing.T) {
	t.Helper()
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CA_BUNDLE": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
	} {
		t.Setenv(name, value)
	}
}

func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	c, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// use writes, reads and lists an object, so that requests of each kind are sent.
func use(t *testing.T, b *Bucket) {
	t.Helper()
	const key, text = "dir/a key", "some text"
	if _, err := b.Put(t.Context(), key, bytes.NewReader([]byte(text)), int64(len(text)), objstore.Condition{}, objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	e, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	v := objstore.Version{Endpoint: b.Endpoint(), Bucket: b.Name(), Key: key, ETag: e.ETag, Size: e.Size}
	body, err := b.Open(t.Context(), v, objstore.Range{Len: v.Size})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != text {
		t.Fatalf("read %q, %v", got, err)
	}
	for page, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != key {
			t.Fatalf("listed %+v, %v", page, err)
		}
	}
}

// seen collects what a front was asked.
type seen struct {
	mu       sync.Mutex // guards requests
	requests []*http.Request
}

func (s *seen) before(_ http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	return false
}

// all calls check for each request so far; there must be some.
func (s *seen) all(t *testing.T, check func(r *http.Request)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		t.Error("no request was seen")
	}
	for _, r := range s.requests {
		check(r)
	}
}

func TestVirtualHostedAndPathStyle(t *testing.T) {
	for _, test := range []struct {
		name, endpoint, host string
	}{
		{"virtual-hosted", "http://store.test:81", "bucket.store.test:81"},
		{"path-style", "http://127.0.0.1:81", "127.0.0.1:81"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var saw seen
			front := s3front.New(s3front.Options{
				Buckets: []objstore.Bucket{memstore.New("bucket")}, Domain: "store.test", Before: saw.before,
			})
			config := Config{Endpoint: test.endpoint, AccessKey: testAccessKey, SecretKey: testSecretKey}
			config.dial = servePipes(t, front.ServeHTTP).dial
			b, err := newClient(t, config).Bucket(t.Context(), "bucket")
			if err != nil {
				t.Fatal(err)
			}
			use(t, b)
			saw.all(t, func(r *http.Request) {
				if r.Host != test.host {
					t.Errorf("%s %s went to %s", r.Method, r.URL, r.Host)
				}
			})
			if b.Endpoint() != test.endpoint {
				t.Errorf("the store is %s", b.Endpoint())
			}
		})
	}
}

func TestBucketFindsItsRegion(t *testing.T) {
	for _, tell := range []string{"header", "document"} {
		t.Run(tell, func(t *testing.T) {
			options := s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}, Region: "US-EAST-04A"}
			front := s3front.New(options)
			config := Config{Endpoint: "http://127.0.0.1:1", AccessKey: testAccessKey, SecretKey: testSecretKey}
			config.dial = servePipes(t, func(w http.ResponseWriter, r *http.Request) {
				if tell == "document" {
					w = &withoutRegionHeader{w}
				}
				front.ServeHTTP(w, r)
			}).dial
			b, err := newClient(t, config).Bucket(t.Context(), "bucket")
			if err != nil {
				t.Fatal(err)
			}
			if b.Region() != "US-EAST-04A" {
				t.Errorf("the region is %s", b.Region())
			}
			use(t, b)
		})
	}
}

// withoutRegionHeader makes a front tell its region in documents alone.
type withoutRegionHeader struct{ http.ResponseWriter }

func (w *withoutRegionHeader) WriteHeader(status int) {
	w.Header().Del("X-Amz-Bucket-Region")
	w.ResponseWriter.WriteHeader(status)
}

func TestTLSTrustsTheConfiguredAuthority(t *testing.T) {
	isolate(t)
	server := httptest.NewUnstartedServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log the handshake that fails below
	server.StartTLS()
	defer server.Close()
	config := Config{Endpoint: server.URL, AccessKey: testAccessKey, SecretKey: testSecretKey}
	if _, err := newClient(t, config).Bucket(t.Context(), "bucket"); err == nil {
		t.Error("a certificate of nobody was trusted")
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	b, err := newClient(t, config).Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	use(t, b)
}

func TestHeadersThatEveryRequestCarries(t *testing.T) {
	isolate(t)
	var saw seen
	front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}, Before: saw.before})
	config := Config{Endpoint: "http://127.0.0.1:1", NoSignRequest: true, RequesterPays: true, UserAgent: "headrace/1.2"}
	config.dial = servePipes(t, front.ServeHTTP).dial
	b, err := newClient(t, config).Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	use(t, b)
	saw.all(t, func(r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get(headerRequestPayer) != requester {
			t.Errorf("%s %s: %v", r.Method, r.URL, r.Header)
		}
		if !bytes.Contains([]byte(r.UserAgent()), []byte("headrace/1.2")) {
			t.Errorf("%s %s comes from %s", r.Method, r.URL, r.UserAgent())
		}
	})
}

func TestBucketSaysWhyNot(t *testing.T) {
	for code, want := range map[string]error{
		"NoSuchBucket": objstore.ErrNoBucket, "AccessDenied": objstore.ErrPermission, "InvalidAccessKeyId": objstore.ErrCredentials,
		"RequestTimeTooSkewed": objstore.ErrClockSkew, "SlowDown": objstore.ErrThrottled,
	} {
		config := Config{Endpoint: "http://127.0.0.1:1", AccessKey: testAccessKey, SecretKey: testSecretKey}
		config.dial = servePipes(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
		}).dial
		if b, err := newClient(t, config).Bucket(t.Context(), "bucket"); !errors.Is(err, want) || b != nil {
			t.Errorf("%s: %v, %v", code, b, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, config := range []Config{
		{Endpoint: "store.example:9000"},
		{Endpoint: "ftp://store.example"},
		{Endpoint: "http://"},
		{Endpoint: "http://user:secret@host"},
		{ProgressTimeout: -1},
		{MaxConns: -1},
	} {
		if _, err := New(t.Context(), config); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("%+v: %v", config, err)
		}
	}
}
