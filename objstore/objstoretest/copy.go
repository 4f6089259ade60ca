package objstoretest

import (
	"bytes"
	"errors"
	"maps"

	"github.com/headrace/headrace/objstore"
)

func testCopy(s *suite) {
	attrs := objstore.Attributes{ContentType: "text/plain", Metadata: map[string]string{"origin": "suite"}}
	data := pattern(100_000)
	e, err := s.bucket.Put(s.Context(), "source", bytes.NewReader(data), int64(len(data)), objstore.Condition{}, attrs)
	s.must(err)
	src := objstore.VersionOf(s.bucket, e)
	copied, err := s.bucket.Copy(s.Context(), "dir/copy", src, objstore.Condition{})
	s.must(err)
	stat, err := s.bucket.Stat(s.Context(), "dir/copy")
	s.must(err)
	if copied.Key != "dir/copy" || copied.ETag != stat.ETag || copied.Size != stat.Size {
		s.Errorf("Copy tells %+v, HEAD %+v", copied, stat)
	}
	if stat.ContentType != attrs.ContentType || s.quirks.NoUserMetadata == "" && !maps.Equal(stat.Metadata, attrs.Metadata) {
		s.Errorf("attributes %q and %v did not come along", stat.ContentType, stat.Metadata)
	}
	s.holds("dir/copy", data)
	s.holds("source", data)

	s.put("source", []byte("other"))
	_, err = s.bucket.Copy(s.Context(), "dir/copy", src, objstore.Condition{})
	s.changed(err)
	s.must(s.bucket.Delete(s.Context(), "source"))
	_, err = s.bucket.Copy(s.Context(), "dir/copy", src, objstore.Condition{})
	s.changed(err)
	s.holds("dir/copy", data)
}

func testCopyWith(s *suite) {
	data := pattern(100_000)
	first := objstore.Attributes{ContentType: "text/plain", Metadata: map[string]string{"origin": "suite", "mode": "33188"}}
	e, err := s.bucket.Put(s.Context(), "key", bytes.NewReader(data), int64(len(data)), objstore.Condition{}, first)
	s.must(err)
	other := objstore.Attributes{ContentType: "text/csv", Metadata: map[string]string{"mode": "33206"}}
	for _, key := range []string{"key", "dir/copy"} { // onto itself, and elsewhere
		copied, err := s.bucket.CopyWith(s.Context(), key, objstore.VersionOf(s.bucket, e), objstore.Condition{}, other)
		s.must(err)
		stat, err := s.bucket.Stat(s.Context(), key)
		s.must(err)
		if copied.Key != key || copied.ETag != stat.ETag || copied.Size != stat.Size {
			s.Errorf("CopyWith tells %+v, HEAD %+v", copied, stat)
		}
		if stat.ContentType != other.ContentType || s.quirks.NoUserMetadata == "" && !maps.Equal(stat.Metadata, other.Metadata) {
			s.Errorf("%s has attributes %q and %v, want %+v", key, stat.ContentType, stat.Metadata, other)
		}
		s.holds(key, data)
		if key == "key" {
			e = stat
		}
	}
	s.put("key", []byte("other"))
	_, err = s.bucket.CopyWith(s.Context(), "key", objstore.VersionOf(s.bucket, e), objstore.Condition{}, first)
	s.changed(err)
	s.holds("key", []byte("other"))
}

// changed checks for ErrChanged where the error may name the source or the destination.
func (s *suite) changed(err error) {
	s.Helper()
	if _, ok := errors.AsType[*objstore.Error](err); !ok || !errors.Is(err, objstore.ErrChanged) {
		s.Errorf("%v (%T), want ErrChanged", err, err)
	}
}

func testCopyConditions(s *suite) {
	src := s.put("source", []byte("source"))
	old := s.put("key", []byte("one"))
	s.put("key", []byte("two"))
	copyIf := func(key string, cond objstore.Condition) func() error {
		return func() error {
			_, err := s.bucket.Copy(s.Context(), key, src, cond)
			return err
		}
	}
	if again := copyIf("key", objstore.Condition{IfNew: true}); !s.lacks(s.quirks.NoIfNewCopy, again) {
		s.fails(again(), "key", objstore.ErrExists)
		s.holds("key", []byte("two"))
		s.must(copyIf("fresh", objstore.Condition{IfNew: true})())
		s.holds("fresh", []byte("source"))
	}
	present := s.put("key", []byte("two"))
	if stale := copyIf("key", objstore.Condition{IfMatch: old.ETag}); !s.lacks(s.quirks.NoIfMatchCopy, stale) {
		s.fails(stale(), "key", objstore.ErrChanged)
		s.holds("key", []byte("two"))
		s.must(copyIf("key", objstore.Condition{IfMatch: present.ETag})())
		s.holds("key", []byte("source"))
	}
}

func testRename(s *suite) {
	data := pattern(1000)
	src := s.put("source", data)
	renamer, ok := objstore.AsRenamer(s.bucket)
	if !ok {
		return // an optional power: callers copy and delete
	}
	err := renamer.Rename(s.Context(), "dir/moved", src, objstore.Condition{})
	if errors.Is(err, objstore.ErrUnsupported) {
		s.holds("source", data)
		return
	}
	s.must(err)
	s.holds("dir/moved", data)
	_, err = s.bucket.Stat(s.Context(), "source")
	s.fails(err, "source", objstore.ErrNotExist)
	s.changed(renamer.Rename(s.Context(), "elsewhere", src, objstore.Condition{}))

	moved := src
	moved.Key = "dir/moved"
	s.put("taken", []byte("taken"))
	err = renamer.Rename(s.Context(), "taken", moved, objstore.Condition{IfNew: true})
	s.fails(err, "taken", objstore.ErrExists)
	s.holds("taken", []byte("taken"))
	s.holds("dir/moved", data)
}

func testPrestage(s *suite) {
	s.put("key", pattern(1000))
	prestager, ok := objstore.AsPrestager(s.bucket)
	if !ok {
		return // an optional power: callers read
	}
	if err := prestager.Prestage(s.Context(), "key"); err != nil && !errors.Is(err, objstore.ErrUnsupported) {
		s.Error(err)
	}
	s.holds("key", pattern(1000))
}
