package objstoretest

import (
	"bytes"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// minPart is the smallest size in bytes that S3 takes for a part that is not the last.
const minPart = 5 << 20

// upload begins an upload and stores data in it, cut into parts of minPart; the parts arrive last first.
func (s *suite) upload(key string, data []byte) (id string, parts []objstore.Part) {
	s.Helper()
	id, err := s.bucket.CreateUpload(s.Context(), key, objstore.Attributes{ContentType: "video/x-suite"})
	s.must(err)
	pieces := slices.Collect(slices.Chunk(data, minPart))
	parts = make([]objstore.Part, len(pieces))
	for i, piece := range slices.Backward(pieces) {
		parts[i] = s.part(key, id, i+1, piece)
	}
	return id, parts
}

func (s *suite) part(key, id string, number int, data []byte) objstore.Part {
	s.Helper()
	p, err := s.bucket.UploadPart(s.Context(), key, id, number, bytes.NewReader(data), int64(len(data)))
	s.must(err)
	if p.Number != number || p.Size != int64(len(data)) || p.ETag == "" {
		s.Errorf("part %+v, want number %d of %d bytes", p, number, len(data))
	}
	return p
}

func testMultipart(s *suite) {
	data := pattern(2*minPart + 1000)
	id, parts := s.upload("file", data)
	_, err := s.bucket.Stat(s.Context(), "file")
	s.fails(err, "file", objstore.ErrNotExist) // until it is complete
	parts[2] = s.part("file", id, 3, []byte("another end"))
	data = append(data[:2*minPart:2*minPart], "another end"...)
	e, err := s.bucket.CompleteUpload(s.Context(), "file", id, parts, objstore.Condition{})
	s.must(err)
	stat, err := s.bucket.Stat(s.Context(), "file")
	s.must(err)
	if e.Key != "file" || e.ETag != stat.ETag || e.ETag == "" || e.Size != int64(len(data)) {
		s.Errorf("CompleteUpload tells %+v, HEAD %+v", e, stat)
	}
	if stat.ContentType != "video/x-suite" {
		s.Errorf("content type %q", stat.ContentType)
	}
	s.holds("file", data)
}

func testMultipartInvalid(s *suite) {
	id, parts := s.upload("file", pattern(100))
	foreign := []objstore.Part{{Number: 1, ETag: "00000000000000000000000000000000", Size: 100}}
	_, err := s.bucket.CompleteUpload(s.Context(), "file", id, foreign, objstore.Condition{})
	s.fails(err, "file", objstore.ErrInvalid)
	_, err = s.bucket.CompleteUpload(s.Context(), "file", id, []objstore.Part{{Number: 7, ETag: parts[0].ETag, Size: 100}}, objstore.Condition{})
	s.fails(err, "file", objstore.ErrInvalid)
	_, err = s.bucket.CompleteUpload(s.Context(), "file", id, parts, objstore.Condition{})
	s.must(err)
	s.holds("file", pattern(100))
}

func testMultipartAbort(s *suite) {
	id, parts := s.upload("dir/file", pattern(100))
	other, _ := s.upload("other", pattern(100))
	if below := s.uploads("dir/"); s.quirks.NoListUploads == "" && !slices.Equal(below, []string{id}) {
		s.Errorf("uploads %q below dir/, want %q", below, id)
	}
	s.must(s.bucket.AbortUpload(s.Context(), "dir/file", id))
	s.must(s.bucket.AbortUpload(s.Context(), "dir/file", id))
	_, err := s.bucket.CompleteUpload(s.Context(), "dir/file", id, parts, objstore.Condition{})
	s.fails(err, "dir/file", objstore.ErrNotExist)
	_, err = s.bucket.UploadPart(s.Context(), "dir/file", id, 1, bytes.NewReader([]byte("x")), 1)
	s.fails(err, "dir/file", objstore.ErrNotExist)
	if all := s.uploads(""); s.quirks.NoListUploads == "" && !slices.Equal(all, []string{other}) {
		s.Errorf("uploads %q, want %q", all, other)
	}
	_, err = s.bucket.Stat(s.Context(), "dir/file")
	s.fails(err, "dir/file", objstore.ErrNotExist)
}

// uploads are the ids of the uploads under way below prefix.
func (s *suite) uploads(prefix string) []string {
	s.Helper()
	if s.quirks.NoListUploads != "" {
		s.Logf("not looked at: %s", s.quirks.NoListUploads)
		return nil
	}
	var ids []string
	for u, err := range s.bucket.ListUploads(s.Context(), prefix) {
		s.must(err)
		ids = append(ids, u.ID)
	}
	return ids
}

func testMultipartConditions(s *suite) {
	old := s.put("key", []byte("one"))
	present := s.put("key", []byte("two"))
	for _, c := range []struct {
		cond   objstore.Condition
		want   error
		reason string
	}{
		{objstore.Condition{IfNew: true}, objstore.ErrExists, s.quirks.NoIfNewComplete},
		{objstore.Condition{IfMatch: old.ETag}, objstore.ErrChanged, s.quirks.NoIfMatchComplete},
	} {
		id, parts := s.upload("key", []byte("three"))
		complete := func() error {
			_, err := s.bucket.CompleteUpload(s.Context(), "key", id, parts, c.cond)
			return err
		}
		if s.lacks(c.reason, complete) {
			present = s.put("key", []byte("two"))
			continue
		}
		s.fails(complete(), "key", c.want)
		s.holds("key", []byte("two"))
		s.must(s.bucket.AbortUpload(s.Context(), "key", id))
	}
	id, parts := s.upload("key", []byte("three"))
	_, err := s.bucket.CompleteUpload(s.Context(), "key", id, parts, objstore.Condition{IfMatch: present.ETag})
	if err != nil && s.quirks.NoIfMatchComplete == "" {
		s.Errorf("a condition that holds: %v", err)
	}
	id, parts = s.upload("fresh", []byte("four"))
	_, err = s.bucket.CompleteUpload(s.Context(), "fresh", id, parts, objstore.Condition{IfNew: true})
	if err != nil && s.quirks.NoIfNewComplete == "" {
		s.Errorf("a condition that holds: %v", err)
	}
}

func testCopyPart(s *suite) {
	data := pattern(minPart + 5000)
	src := s.put("source", data)
	id, err := s.bucket.CreateUpload(s.Context(), "file", objstore.Attributes{Copies: true})
	s.must(err)
	first, err := s.bucket.CopyPart(s.Context(), "file", id, 1, src, objstore.Range{Off: 3000, Len: minPart})
	s.must(err)
	if first.Number != 1 || first.Size != minPart || first.ETag == "" {
		s.Errorf("part %+v", first)
	}
	second := s.part("file", id, 2, []byte("tail"))
	s.put("source", []byte("other"))
	_, err = s.bucket.CopyPart(s.Context(), "file", id, 3, src, objstore.Range{Len: 10})
	s.changed(err)
	s.must(s.bucket.Delete(s.Context(), "source"))
	_, err = s.bucket.CopyPart(s.Context(), "file", id, 3, src, objstore.Range{Len: 10})
	s.changed(err)
	_, err = s.bucket.CompleteUpload(s.Context(), "file", id, []objstore.Part{first, second}, objstore.Condition{})
	s.must(err)
	s.holds("file", append(data[3000:3000+minPart:3000+minPart], "tail"...))
}
