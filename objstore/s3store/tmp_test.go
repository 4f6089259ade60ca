package s3store

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

type fakeRT struct{ data []byte }

func (f fakeRT) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 206, Header: http.Header{"Etag": {`"x"`}, "Content-Range": {"bytes 0-4095/4096"}}, ContentLength: 4096, Body: io.NopCloser(bytes.NewReader(f.data))}, nil
}

func BenchmarkParts(b *testing.B) {
	c, err := New(b.Context(), Config{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		b.Fatal(err)
	}
	c.transport.client.Transport = fakeRT{make([]byte, 4096)}
	bk, err := c.bucketIn(b.Context(), "bucket", "us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Open", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 4096)
		for b.Loop() {
			r, err := bk.Open(b.Context(), objstore.Version{Key: "some/key", ETag: "x", Size: 4096}, objstore.Range{Len: 4096})
			if err != nil {
				b.Fatal(err)
			}
			io.ReadFull(r, buf)
			r.Close()
		}
	})
	b.Run("Sign", func(b *testing.B) {
		b.ReportAllocs()
		creds, _ := c.credentials.Retrieve(b.Context())
		u := bk.endpoint.object("some/key")
		for b.Loop() {
			h := http.Header{"Range": {"bytes=0-4095"}, "If-Match": {`"x"`}, headerContentSHA: {emptyPayload}, "User-Agent": {"hea"}}
			req := &http.Request{Method: "GET", URL: u, Host: u.Host, Header: h}
			c.signer.SignHTTP(b.Context(), creds, req, emptyPayload, "s3", "us-east-1", time.Now())
		}
	})
	b.Run("Creds", func(b *testing.B) {
		for b.Loop() {
			c.credentials.Retrieve(b.Context())
		}
	})
	b.Run("Dog", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d, _ := newWatchdog(b.Context(), time.Second)
			d.waiting()
			d.idle()
			d.release()
		}
	})
}
