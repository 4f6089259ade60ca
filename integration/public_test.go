package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// With `--no-sign-request` no request is signed, so that public buckets need no credentials, and every change is EROFS.
//
// With `--requester-pays` every request says that who makes it pays.
func TestPublicBucket(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags          []string
		environment    []string
		unsigned, pays bool
	}{
		"public": {
			flags: []string{"--no-sign-request"}, environment: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, unsigned: true,
		},
		"requester pays": {flags: []string{"--requester-pays"}, pays: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memstore.New("public")
			_, err := store.Put(context.Background(), "dir/file", strings.NewReader("content"), 7, objstore.Condition{}, objstore.Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			var requests, unsigned, paid atomic.Int64
			server := httptest.NewServer(s3front.New(s3front.Options{
				Buckets: []objstore.Bucket{store},
				Before: func(_ http.ResponseWriter, r *http.Request) bool {
					requests.Add(1)
					if r.Header.Get("Authorization") == "" {
						unsigned.Add(1)
					}
					if r.Header.Get("X-Amz-Request-Payer") == "requester" {
						paid.Add(1)
					}
					return false
				},
			}))
			atEnd(t, server.Close)
			m := startMount(t, mountSpec{source: "s3://public", endpoint: server.URL, flags: c.flags, environment: c.environment})
			checkNames(t, m.names("dir"), "file")
			if content, err := os.ReadFile(m.path("dir", "file")); err != nil || string(content) != "content" {
				t.Errorf("%q, %v", content, err)
			}
			if err := os.Remove(m.path("dir", "file")); c.unsigned != isErrno(err, syscall.EROFS) {
				t.Errorf("remove: %v", err)
			}
			all := func(of bool) int64 {
				if of {
					return requests.Load()
				}
				return 0
			}
			if got := unsigned.Load(); got != all(c.unsigned) {
				t.Errorf("%d of %d requests are not signed", got, requests.Load())
			}
			if got := paid.Load(); got != all(c.pays) {
				t.Errorf("%d of %d requests are said to be paid for", got, requests.Load())
			}
		})
	}
}
