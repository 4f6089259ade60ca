package objstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/objstore"
)

func testPut(s *suite) {
	for _, size := range []int{0, 1, 70000, 6 << 20} {
		key := fmt.Sprintf("file-%d", size)
		data := pattern(size)
		e, err := s.bucket.Put(s.Context(), key, bytes.NewReader(data), int64(size), objstore.Condition{}, objstore.Attributes{})
		s.must(err)
		stat, err := s.bucket.Stat(s.Context(), key)
		s.must(err)
		if e.Key != key || e.Size != int64(size) || e.ETag != stat.ETag {
			s.Errorf("Put tells %+v, HEAD %+v", e, stat)
		}
		s.holds(key, data)
	}
	first := s.put("again", []byte("one"))
	second := s.put("again", []byte("two"))
	if first.ETag == second.ETag {
		s.Errorf("two contents have one ETag %q", first.ETag)
	}
	s.holds("again", []byte("two"))
}

// putIf is a conditional write.
func (s *suite) putIf(key, content string, cond objstore.Condition) error {
	_, err := s.bucket.Put(s.Context(), key, bytes.NewReader([]byte(content)), int64(len(content)), cond, objstore.Attributes{})
	return err
}

// lacks proves that a power is missing for the reason given, and tells whether a reason was given. It is: a write whose
// condition does not hold is done or is refused as something the store does not know, so that nobody can rely on it.
func (s *suite) lacks(reason string, write func() error) bool {
	s.Helper()
	if reason == "" {
		return false
	}
	if err := write(); errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrChanged) {
		s.Errorf("%v: so it is not true any more that %s", err, reason)
	}
	return true
}

func testPutIfNew(s *suite) {
	s.put("there", []byte("old"))
	again := func() error { return s.putIf("there", "new", objstore.Condition{IfNew: true}) }
	if s.lacks(s.quirks.NoIfNewPut, again) {
		return
	}
	s.fails(again(), "there", objstore.ErrExists)
	s.holds("there", []byte("old"))
	s.must(s.putIf("fresh", "new", objstore.Condition{IfNew: true}))
	s.holds("fresh", []byte("new"))
	s.must(s.bucket.Delete(s.Context(), "there"))
	s.must(again())
	s.holds("there", []byte("new"))
}

func testPutIfMatch(s *suite) {
	old := s.put("key", []byte("one"))
	present := s.put("key", []byte("two"))
	stale := func() error { return s.putIf("key", "three", objstore.Condition{IfMatch: old.ETag}) }
	if s.lacks(s.quirks.NoIfMatchPut, stale) {
		return
	}
	s.fails(stale(), "key", objstore.ErrChanged)
	s.holds("key", []byte("two"))
	s.must(s.putIf("key", "three", objstore.Condition{IfMatch: present.ETag}))
	s.holds("key", []byte("three"))
	s.must(s.bucket.Delete(s.Context(), "key"))
	s.fails(s.putIf("key", "four", objstore.Condition{IfMatch: present.ETag}), "key", objstore.ErrChanged)
	_, err := s.bucket.Stat(s.Context(), "key")
	s.fails(err, "key", objstore.ErrNotExist)
}

func testPutRace(s *suite) {
	if s.quirks.NoIfNewPut != "" {
		s.Logf("nobody can win: %s", s.quirks.NoIfNewPut)
		return
	}
	const writers = 8
	results := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			results[i] = s.putIf("key", fmt.Sprintf("writer %d", i), objstore.Condition{IfNew: true})
		})
	}
	group.Wait()
	winner := -1
	for i, err := range results {
		switch {
		case err != nil:
			s.fails(err, "key", objstore.ErrExists, objstore.ErrConflict)
		case winner >= 0:
			s.Errorf("writers %d and %d both created the key", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		s.Fatal("nobody created the key")
	}
	s.holds("key", fmt.Appendf(nil, "writer %d", winner))
}

func testDelete(s *suite) {
	s.put("dir/a", []byte("a"))
	s.put("dir/b", []byte("b"))
	s.must(s.bucket.Delete(s.Context(), "dir/a"))
	_, err := s.bucket.Stat(s.Context(), "dir/a")
	s.fails(err, "dir/a", objstore.ErrNotExist)
	s.must(s.bucket.Delete(s.Context(), "dir/a"))
	s.must(s.bucket.Delete(s.Context(), "never"))
	s.holds("dir/b", []byte("b"))
}

func testDeleteVersion(s *suite) {
	old := s.put("key", []byte("one"))
	present := s.put("key", []byte("two"))
	deleter, ok := objstore.AsVersionDeleter(s.bucket)
	if !ok {
		return // an optional power: callers look, and delete
	}
	stale := func() error { return deleter.DeleteVersion(s.Context(), old) }
	if s.lacks(s.quirks.NoIfMatchDelete, stale) {
		return
	}
	err := stale()
	if errors.Is(err, objstore.ErrUnsupported) {
		return
	}
	s.fails(err, "key", objstore.ErrChanged)
	s.holds("key", []byte("two"))
	s.must(deleter.DeleteVersion(s.Context(), present))
	_, err = s.bucket.Stat(s.Context(), "key")
	s.fails(err, "key", objstore.ErrNotExist)
	s.must(deleter.DeleteVersion(s.Context(), present))
}
