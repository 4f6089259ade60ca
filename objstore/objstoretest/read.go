package objstoretest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

func testStat(s *suite) {
	attrs := objstore.Attributes{ContentType: "text/plain", Metadata: map[string]string{"origin": "suite"}}
	before := time.Now()
	put, err := s.bucket.Put(s.Context(), "dir/file", bytes.NewReader([]byte("hello")), 5, objstore.Condition{}, attrs)
	s.must(err)
	e, err := s.bucket.Stat(s.Context(), "dir/file")
	s.must(err)
	if e.Key != "dir/file" || e.Size != 5 || e.ETag != put.ETag || e.ETag == "" {
		s.Errorf("got %+v after %+v was put", e, put)
	}
	if e.ModTime.Nanosecond() != 0 || e.ModTime.Sub(before).Abs() > time.Minute {
		s.Errorf("modified at %v, want whole seconds near %v", e.ModTime, before)
	}
	if e.ContentType != attrs.ContentType {
		s.Errorf("content type %q, want %q", e.ContentType, attrs.ContentType)
	}
	if same := maps.Equal(e.Metadata, attrs.Metadata); same != (s.quirks.NoUserMetadata == "") {
		s.Errorf("metadata %v, want %v, except: %q", e.Metadata, attrs.Metadata, s.quirks.NoUserMetadata)
	}
	if v := objstore.VersionOf(s.bucket, e); v.Bucket == "" || v.Endpoint == "" {
		s.Errorf("%+v does not say where it is", v)
	}
}

func testStatMissing(s *suite) {
	s.put("dir/file", []byte("x"))
	for _, key := range []string{"nothing", "dir", "dir/", "dir/file/", "dir/fil"} {
		_, err := s.bucket.Stat(s.Context(), key)
		s.fails(err, key, objstore.ErrNotExist)
	}
}

func testOpenRanges(s *suite) {
	data := pattern(1<<20 + 3)
	v := s.put("file", data)
	size := int64(len(data))
	for _, r := range []objstore.Range{
		{Off: 0, Len: size},
		{Off: 0, Len: 1},
		{Off: size - 1, Len: 1},
		{Off: 1, Len: size - 2},
		{Off: 4096, Len: 65536},
		{Off: size - 70000, Len: 70000},
	} {
		if got := s.read(v, r); !bytes.Equal(got, data[r.Off:r.End()]) {
			s.Errorf("%v gave %d bytes that are not those of the range", r, len(got))
		}
	}
}

func testOpenBadRange(s *suite) {
	v := s.put("file", pattern(100))
	for _, r := range []objstore.Range{{}, {Off: 50}, {Off: -1, Len: 2}, {Off: 0, Len: -1}, {Off: 0, Len: 101}, {Off: 100, Len: 1}, {Off: 99, Len: 2}} {
		body, err := s.bucket.Open(s.Context(), v, r)
		if err == nil {
			body.Close()
		}
		s.fails(err, "file", objstore.ErrInvalid)
	}
	empty := s.put("empty", nil)
	_, err := s.bucket.Open(s.Context(), empty, objstore.Range{})
	s.fails(err, "empty", objstore.ErrInvalid)
}

func testOpenMissing(s *suite) {
	v := s.put("file", pattern(100))
	s.must(s.bucket.Delete(s.Context(), "file"))
	_, err := s.bucket.Open(s.Context(), v, objstore.Range{Len: 100})
	s.fails(err, "file", objstore.ErrNotExist)
}

func testOpenChanged(s *suite) {
	old := s.put("file", pattern(100))
	second := bytes.Repeat([]byte("y"), 100)
	v := s.put("file", second)
	_, err := s.bucket.Open(s.Context(), old, objstore.Range{Len: 50})
	s.fails(err, "file", objstore.ErrChanged)
	if got := s.read(v, objstore.Range{Len: 100}); !bytes.Equal(got, second) {
		s.Errorf("the new version reads %q", got)
	}
	s.put("file", pattern(99)) // shorter: the range does not even fit
	_, err = s.bucket.Open(s.Context(), v, objstore.Range{Off: 99, Len: 1})
	s.fails(err, "file", objstore.ErrChanged)
}

func testCloseEarly(s *suite) {
	data := pattern(4 << 20)
	v := s.put("file", data)
	for range 20 {
		body, err := s.bucket.Open(s.Context(), v, objstore.Range{Len: v.Size})
		s.must(err)
		if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
			s.Error(err)
		}
		if err := body.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	}
	s.holds("file", data)
}

func testCancelBody(s *suite) {
	v := s.put("file", pattern(16<<20)) // more than the buffers on the way can hold
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	body, err := s.bucket.Open(ctx, v, objstore.Range{Len: v.Size})
	s.must(err)
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1)); err != nil {
		s.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, body)
	s.cancelled(err)
}

func testCancelled(s *suite) {
	v := s.put("file", pattern(10))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.bucket.Stat(ctx, "file")
	s.cancelled(err)
	_, err = s.bucket.Open(ctx, v, objstore.Range{Len: 1})
	s.cancelled(err)
	_, err = s.bucket.Put(ctx, "file", bytes.NewReader(nil), 0, objstore.Condition{}, objstore.Attributes{})
	s.cancelled(err)
	s.cancelled(s.bucket.Delete(ctx, "file"))
	var failures []error
	for _, err := range s.bucket.List(ctx, objstore.ListOptions{}) {
		failures = append(failures, err)
	}
	if len(failures) != 1 {
		s.Fatalf("a listing yielded %v, want one error", failures)
	}
	s.cancelled(failures[0])
	s.holds("file", pattern(10))
}

func testManyReaders(s *suite) {
	data := pattern(1 << 20)
	v := s.put("file", data)
	var readers sync.WaitGroup
	failures := make(chan error, 16)
	for i := range int64(cap(failures)) {
		readers.Go(func() {
			r := objstore.Range{Off: i * 60000, Len: 65536}
			body, err := s.bucket.Open(s.Context(), v, r)
			if err != nil {
				failures <- err
				return
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data[r.Off:r.End()]) {
				failures <- fmt.Errorf("%v: %d bytes, error %w", r, len(got), err)
			}
		})
	}
	readers.Wait()
	close(failures)
	for err := range failures {
		s.Error(err)
	}
}
