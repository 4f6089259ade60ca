package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// newLota is a client of a simulated LOTA.
func newLota(t *testing.T, options cwsim.Options, config Config) (*cwsim.Store, *Client) {
	t.Helper()
	store := cwsim.New(options)
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	config.Endpoint, config.AccessKey, config.SecretKey = "http://"+cwsim.LotaHost, testAccessKey, testSecretKey
	config.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return store, newClient(t, config)
}

// TestConformanceOnLota proves it against CoreWeave's rules: buckets in the host's name, zones as regions,
// RenameObject.
func TestConformanceOnLota(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Bucket {
		_, c := newLota(t, cwsim.Options{Buckets: []cwsim.Bucket{{Name: "bucket"}}}, Config{})
		b, err := c.Bucket(t.Context(), "bucket")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, objstoretest.Quirks{})
}

// A HEAD with a range has LOTA fetch the object; what is not there, or is a prefix only, is told.
func TestPrestage(t *testing.T) {
	store, c := newLota(t, cwsim.Options{Buckets: []cwsim.Bucket{{Name: "bucket"}}}, Config{})
	b, err := c.Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	for key, size := range map[string]int64{"dir/large": cwsim.LargestUncached + 1, "empty": 0} {
		if _, err := b.Put(t.Context(), key, bytes.NewReader(make([]byte, size)), size, objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
		if err := b.Prestage(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if !store.Resident("bucket", "dir/large") {
		t.Error("LOTA does not hold what was pre-staged")
	}
	for _, r := range store.Requests() {
		if r.Method == "GET" && r.Key != "" {
			t.Errorf("pre-staging reads: %+v", r)
		}
	}
	for key, want := range map[string]error{"none": objstore.ErrNotExist, "dir": objstore.ErrNotExist, "": objstore.ErrInvalid} {
		if err := b.Prestage(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", key, err, want)
		}
	}
}

// A bucket that was just made answers InvalidRegion for a minute: it is waited for, and no longer than that.
func TestNewBucket(t *testing.T) {
	for name, c := range map[string]struct {
		settles time.Duration
		want    error
	}{
		"after a minute": {settles: time.Minute},
		"never":          {settles: time.Hour, want: objstore.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				config := Config{Endpoint: "http://127.0.0.1:1", AccessKey: testAccessKey, SecretKey: testSecretKey}
				config.dial = servePipes(t, func(w http.ResponseWriter, _ *http.Request) {
					if time.Since(begin) < c.settles {
						w.WriteHeader(http.StatusBadRequest)
						_, _ = io.WriteString(w, "<Error><Code>InvalidRegion</Code></Error>")
						return
					}
					_, _ = io.WriteString(w, emptyListing)
				}).dial
				client := newClient(t, config)
				_, err := client.Bucket(t.Context(), "bucket")
				if took := time.Since(begin); !errors.Is(err, c.want) || took < min(c.settles, newBucketTime) || took > newBucketTime+newBucketPause {
					t.Errorf("%v after %v", err, took)
				}
				client.Close()
			})
		})
	}
}
