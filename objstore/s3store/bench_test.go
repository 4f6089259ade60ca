package s3store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/s3server"
)

// cpu is what this process has used, the server's share excluded.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchSize, in bytes, is the object that is read.
const benchSize = 64 << 20

// benchVersion stores the object on a real server.
func benchVersion(b *testing.B) (*Bucket, objstore.Version) {
	server, err := s3server.Start(b.Context(), s3server.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Stop)
	client, err := New(b.Context(), Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	if err := client.CreateBucket(b.Context(), "bench"); err != nil {
		b.Fatal(err)
	}
	bucket, err := client.Bucket(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	content := bytes.NewReader(make([]byte, benchSize))
	e, err := bucket.Put(b.Context(), "object", content, benchSize, objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		b.Fatal(err)
	}
	return bucket, objstore.VersionOf(bucket, e)
}

// openSDK is Open by the SDK's operation.
func openSDK(ctx context.Context, bucket *Bucket, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	ranges, match := fmt.Sprintf("bytes=%d-%d", r.Off, r.End()-1), quoteETag(v.ETag)
	out, err := bucket.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &v.Bucket, Key: &v.Key, Range: &ranges, IfMatch: &match})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// openBare is a signed GET without a watchdog and without a look at the answer.
func openBare(ctx context.Context, bucket *Bucket, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bucket.endpoint.object(v.Key).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", "bytes="+strconv.FormatInt(r.Off, 10)+"-"+strconv.FormatInt(r.End()-1, 10))
	req.Header.Set(headerContentSHA, emptyPayload)
	credentials, err := bucket.client.credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	if err := bucket.client.signer.SignHTTP(ctx, credentials, req, emptyPayload, "s3", bucket.region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := bucket.client.transport.pool.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// BenchmarkGet compares Open with the SDK's GetObject and with a bare GET, all on one pool.
func BenchmarkGet(b *testing.B) {
	bucket, v := benchVersion(b)
	ways := []struct {
		name string
		open func(ctx context.Context, bucket *Bucket, v objstore.Version, r objstore.Range) (io.ReadCloser, error)
	}{
		{"Open", func(ctx context.Context, bucket *Bucket, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
			return bucket.Open(ctx, v, r)
		}},
		{"SDK", openSDK},
		{"bare", openBare},
	}
	for _, length := range []int64{4 << 10, 100 << 10, 1 << 20, 16 << 20} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("%dKiB/%s", length>>10, way.name), func(b *testing.B) {
				buf := make([]byte, length)
				b.SetBytes(length)
				b.ReportAllocs()
				began := cpu()
				off := int64(0)
				for b.Loop() {
					body, err := way.open(b.Context(), bucket, v, objstore.Range{Off: off, Len: length})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(body, buf); err != nil {
						b.Fatal(err)
					}
					body.Close()
					if off += length; off+length > benchSize {
						off = 0
					}
				}
				used := cpu() - began
				b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/op")
				b.ReportMetric(used.Seconds()/(float64(b.N)*float64(length)/(1<<30)), "cpu-s/GiB")
			})
		}
	}
}
