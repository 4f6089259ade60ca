package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/headrace/headrace/s3server"
	"golang.org/x/sys/unix"
)

// bucket is one bucket on a real server. Objects are stored as another client would: by renaming a complete file, with
// its ETag, into the directory that versitygw serves, so a reader sees the old object or the new one.
type bucket struct {
	t      *testing.T
	name   string
	server *s3server.Server
}

// newBucket makes an empty bucket on the server all tests share.
func newBucket(t *testing.T) *bucket {
	t.Helper()
	server, err := shared.server()
	if err != nil {
		t.Fatal(err)
	}
	return newBucketOn(t, server)
}

// newServer starts a server for this test alone, which the test may kill.
func newServer(t *testing.T) *s3server.Server {
	t.Helper()
	server, err := startServer(context.Background(), filepath.Join(shared.dir, shared.names("server")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func newBucketOn(t *testing.T, server *s3server.Server) *bucket {
	t.Helper()
	b := &bucket{t: t, name: shared.names("bucket"), server: server}
	if err := os.Mkdir(b.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(b.path("")) })
	return b
}

// source is what `headrace mount` is given.
func (b *bucket) source() string { return "s3://" + b.name }

// path is where the server keeps the object.
func (b *bucket) path(key string) string { return filepath.Join(b.server.Dir(), b.name, key) }

// put stores size bytes of content under key.
func (b *bucket) put(key string, content pattern, size int64) object {
	b.t.Helper()
	o := object{key: key, content: content, size: size}
	// Beside the served directory: in it, the directory of unfinished objects would be a bucket.
	f, err := os.CreateTemp(filepath.Dir(b.server.Dir()), "unfinished-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, io.NewSectionReader(content, 0, size)); err != nil {
		b.t.Fatal(err)
	}
	b.publish(f, o)
	return o
}

// prepare makes an object without storing it, and returns the function that does, as often as it is called, at the cost
// of a rename.
func (b *bucket) prepare(key string, content pattern, size int64) (o object, store func()) {
	b.t.Helper()
	o = b.put("prepared", content, size)
	ready := filepath.Join(filepath.Dir(b.server.Dir()), shared.names("prepared"))
	if err := os.Rename(b.path("prepared"), ready); err != nil {
		b.t.Fatal(err)
	}
	o.key = key
	return o, func() {
		next := ready + "-next"
		if err := errors.Join(os.Link(ready, next), os.Rename(next, b.path(key))); err != nil {
			b.t.Error(err)
		}
		os.Remove(next) // a rename over a name of the same file leaves both
	}
}

// putSparse stores size zero bytes that take no room, under an ETag of their own.
func (b *bucket) putSparse(key string, size int64) object {
	b.t.Helper()
	f, err := os.CreateTemp(filepath.Dir(b.server.Dir()), "unfinished-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		b.t.Fatal(err)
	}
	o := object{key: key, size: size}
	b.publish(f, o)
	return o
}

// putText stores a small object whose content is text.
func (b *bucket) putText(key, text string) {
	b.t.Helper()
	f, err := os.CreateTemp(filepath.Dir(b.server.Dir()), "unfinished-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		b.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	b.publish(f, object{key: key, content: pattern(binary.LittleEndian.Uint64(sum[:])), size: int64(len(text))})
}

// publish gives the file its ETag and moves it to where the server finds it.
func (b *bucket) publish(f *os.File, o object) {
	b.t.Helper()
	if err := unix.Fsetxattr(int(f.Fd()), "user.etag", []byte(`"`+o.etag()+`"`), 0); err != nil {
		b.t.Fatal(err)
	}
	target := b.path(o.key)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(f.Name(), target); err != nil {
		b.t.Fatal(err)
	}
}

// putMarker stores the object `key/` without content, as consoles do for an empty directory.
func (b *bucket) putMarker(key string) {
	b.t.Helper()
	if err := os.MkdirAll(b.path(key), 0o755); err != nil {
		b.t.Fatal(err)
	}
	// An ETag is what tells versitygw that a directory is an object too, and not only the way to others.
	if err := unix.Setxattr(b.path(key), "user.etag", []byte(`"d41d8cd98f00b204e9800998ecf8427e"`), 0); err != nil {
		b.t.Fatal(err)
	}
}

// remove deletes an object.
func (b *bucket) remove(key string) {
	b.t.Helper()
	if err := os.Remove(b.path(key)); err != nil {
		b.t.Fatal(err)
	}
}

// stored is what the server has under a key, as another client sees it; nil for nothing.
func (b *bucket) stored(key string) []byte {
	b.t.Helper()
	content, err := os.ReadFile(b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// want fails the test unless the server has this under the key.
func (b *bucket) want(key, content string) {
	b.t.Helper()
	if got := b.stored(key); string(got) != content {
		b.t.Errorf("%s: the bucket has %d bytes (%.40q), should be %d (%.40q)", key, len(got), got, len(content), content)
	}
}

// wantNothing fails the test if the server has something under the key.
func (b *bucket) wantNothing(key string) {
	b.t.Helper()
	if got := b.stored(key); got != nil {
		b.t.Errorf("%s: the bucket has %d bytes (%.40q), should have nothing", key, len(got), got)
	}
}

// object is what was stored under a key.
type object struct {
	key     string
	content pattern
	size    int64
}

// etag differs wherever content or size do.
func (o object) etag() string { return fmt.Sprintf("%016x%016x", uint64(o.content), o.size) }

// bytes are the whole content.
func (o object) bytes() []byte {
	b := make([]byte, o.size)
	o.content.ReadAt(b, 0)
	return b
}

// sha256 is the sum of the whole content, in hexadecimal.
func (o object) sha256() string {
	h := sha256.New()
	io.Copy(h, io.NewSectionReader(o.content, 0, o.size)) // neither end can fail
	return hex.EncodeToString(h.Sum(nil))
}

// check tells whether b is what the object has at off. It compares by pieces, and bytes one by one only to tell where
// they differ: all of this was much of what the tests took, of time and memory.
func (o object) check(b []byte, off int64) error {
	want := make([]byte, min(int64(len(b)), mib))
	for len(b) > 0 {
		want = want[:min(len(want), len(b))]
		o.content.ReadAt(want, off)
		if !bytes.Equal(b[:len(want)], want) {
			i := 0
			for b[i] == want[i] {
				i++
			}
			return fmt.Errorf("%s: byte %d is %#x, should be %#x", o.key, off+int64(i), b[i], want[i])
		}
		b, off = b[len(want):], off+int64(len(want))
	}
	return nil
}

// noise is n bytes that are the same for the same seed.
func noise(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// pattern is endless content that depends on the pattern and the offset alone, so that every range of every object can
// be checked without keeping any of them.
type pattern uint64

// ReadAt fills b, whatever the offset. Without the race detector, which made it a third of the time that all tests
// take; nothing is shared here.
//
//go:norace
func (p pattern) ReadAt(b []byte, off int64) (int, error) {
	var word [8]byte
	for done := 0; done < len(b); {
		at := off + int64(done)
		if at%8 == 0 && len(b)-done >= 8 {
			binary.LittleEndian.PutUint64(b[done:], p.word(at/8))
			done += 8
			continue
		}
		binary.LittleEndian.PutUint64(word[:], p.word(at/8))
		done += copy(b[done:], word[at%8:])
	}
	return len(b), nil
}

// word is splitmix64 of the index: no two objects share a run of bytes, no offset looks like another.
//
//go:norace
func (p pattern) word(index int64) uint64 {
	x := uint64(p) + uint64(index)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// isErrno tells whether err is that errno.
func isErrno(err error, want syscall.Errno) bool {
	return errors.Is(err, want)
}
