package s3store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/s3server"
)

type lowConn struct {
	net.Conn
	raw   syscall.RawConn
	cur   int
	lim   int
	small int
	reads *int64
	sets  *int64
}

func (c *lowConn) set(n int) {
	if n == c.cur {
		return
	}
	*c.sets++
	c.raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n) })
	c.cur = n
}

func (c *lowConn) Read(p []byte) (int, error) {
	*c.reads++
	if c.lim > 0 {
		if len(p) > c.small {
			c.set(min(len(p), c.lim))
		} else {
			c.set(1)
		}
	}
	return c.Conn.Read(p)
}

func BenchmarkLow(b *testing.B) {
	const size = 64 << 20
	server, err := s3server.Start(b.Context(), s3server.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop()
	for _, lim := range []int{0, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		for _, chunk := range []int64{256 << 10, 1 << 20, 16 << 20} {
			var reads, sets int64
			cfg := Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey()}
			cfg.dial = func(ctx context.Context, n, a string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, n, a)
				if err != nil {
					return nil, err
				}
				raw, _ := c.(*net.TCPConn).SyscallConn()
				return &lowConn{Conn: c, raw: raw, cur: 1, lim: lim, small: bufferSize, reads: &reads, sets: &sets}, nil
			}
			client, err := New(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			client.CreateBucket(b.Context(), "bench")
			bucket, err := client.Bucket(b.Context(), "bench")
			if err != nil {
				b.Fatal(err)
			}
			e, err := bucket.Put(b.Context(), "object", bytes.NewReader(make([]byte, size)), size, objstore.Condition{}, objstore.Attributes{})
			if err != nil {
				b.Fatal(err)
			}
			v := objstore.Version{Endpoint: bucket.Endpoint(), Bucket: "bench", Key: "object", ETag: e.ETag, Size: size}
			b.Run(fmt.Sprintf("low%d/read%d", lim>>10, chunk>>10), func(b *testing.B) {
				buf := make([]byte, 16<<20)
				b.SetBytes(16 << 20)
				reads, sets = 0, 0
				began := cpu()
				off := int64(0)
				for b.Loop() {
					body, err := bucket.Open(b.Context(), v, objstore.Range{Off: off, Len: 16 << 20})
					if err != nil {
						b.Fatal(err)
					}
					for at := int64(0); at < 16<<20; {
						n, err := body.Read(buf[at:min(at+chunk, 16<<20)])
						at += int64(n)
						if err != nil && err != io.EOF {
							b.Fatal(err)
						}
					}
					body.Close()
					off = (off + 16<<20) % size
				}
				b.ReportMetric((cpu()-began).Seconds()/float64(b.N)*64, "cpu-s/GiB")
				b.ReportMetric(float64(reads)/float64(b.N), "reads/op")
			})
			client.Close()
		}
	}
}
