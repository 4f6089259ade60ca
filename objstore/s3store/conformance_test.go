package s3store

import (
	"fmt"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
	"github.com/headrace/headrace/objstore/s3front"
	"github.com/headrace/headrace/s3server"
)

// TestConformanceOnFront proves every key and every condition: the front stores whatever S3 allows.
func TestConformanceOnFront(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Bucket {
		server := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}}))
		t.Cleanup(server.Close)
		renames := true
		c := newClient(t, Config{Endpoint: server.URL, AccessKey: testAccessKey, SecretKey: testSecretKey, RenameObject: &renames})
		b, err := c.Bucket(t.Context(), "bucket")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, objstoretest.Quirks{})
}

// TestConformanceOnVersitygw proves it against a server that keeps objects as files of a directory, by their names.
func TestConformanceOnVersitygw(t *testing.T) {
	objstoretest.Run(t, serverBuckets(t, s3server.Versitygw), objstoretest.Quirks{
		RefusesKey: func(key string) string {
			switch {
			case strings.Trim(key, "/") == "", key == ".", key == "..", strings.ContainsRune(key, 0), longComponent(key):
				return "no file can have that name"
			}
			return ""
		},
		MisplacesKey: func(key string) string {
			switch {
			case path.Clean("/"+key) != "/"+strings.TrimSuffix(key, "/"):
				return "the key is cleaned as a path is"
			case !utf8.ValidString(key), strings.ContainsRune(key, 1):
				return "listings hold the key as XML, whatever encoding is asked for"
			}
			return ""
		},
		NoFileBesideDirectory: "a file is no directory",
		NoMarkerContent:       "a directory has no content",
		NoIfNewCopy:           "versitygw ignores conditions of a copy on its destination",
		NoIfMatchCopy:         "versitygw ignores conditions of a copy on its destination",
	})
}

// longComponent tells whether a part of key is longer than a file's name can be.
func longComponent(key string) bool {
	for part := range strings.SplitSeq(key, "/") {
		if len(part) > 255 {
			return true
		}
	}
	return false
}

// serverBuckets runs a server for the test and opens a fresh bucket of it for each case.
func serverBuckets(t *testing.T, kind s3server.Kind) func(t *testing.T) objstore.Bucket {
	t.Helper()
	server, err := s3server.Start(t.Context(), s3server.Options{Kind: kind, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	c := newClient(t, Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey()})
	var serial atomic.Int64
	return func(t *testing.T) objstore.Bucket {
		name := fmt.Sprintf("conformance-%d", serial.Add(1))
		if err := c.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		b, err := c.Bucket(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
