package objstoretest

import (
	"bytes"
	"maps"

	"github.com/headrace/headrace/objstore"
)

// testHeaders: what other clients have given with an object for yet others goes along with it, byte for byte.
func testHeaders(s *suite) {
	headers := map[string]string{
		"Cache-Control": "no-cache, max-age=0", "Content-Disposition": `attachment; filename="a b.bin"`, "Content-Encoding": "gzip",
		"Content-Language": "de, en", "Expires": "Wed, 21 Oct 2026 07:28:00 GMT", "X-Amz-Website-Redirect-Location": "/elsewhere",
	}
	maps.DeleteFunc(headers, func(name, _ string) bool {
		reason := s.quirks.NoHeader(name)
		if reason != "" {
			s.Logf("%s is not looked at: %s", name, reason)
		}
		return reason != ""
	})
	attrs := objstore.Attributes{ContentType: "text/plain", Headers: headers}
	data := pattern(1000)
	has := func(key string, want map[string]string) {
		s.Helper()
		e, err := s.bucket.Stat(s.Context(), key)
		s.must(err)
		if !maps.Equal(e.Headers, want) {
			s.Errorf("%s has %q, want %q", key, e.Headers, want)
		}
		s.holds(key, data)
	}
	e, err := s.bucket.Put(s.Context(), "put", bytes.NewReader(data), int64(len(data)), objstore.Condition{}, attrs)
	s.must(err)
	has("put", headers)
	src := objstore.VersionOf(s.bucket, e)

	id, err := s.bucket.CreateUpload(s.Context(), "parts", attrs)
	s.must(err)
	_, err = s.bucket.CompleteUpload(s.Context(), "parts", id, []objstore.Part{s.part("parts", id, 1, data)}, objstore.Condition{})
	s.must(err)
	has("parts", headers)

	_, err = s.bucket.CopyWith(s.Context(), "other", src, objstore.Condition{}, objstore.Attributes{ContentType: "text/csv", Metadata: map[string]string{"mode": "1"}})
	s.must(err)
	has("other", nil)
	_, err = s.bucket.CopyWith(s.Context(), "other", src, objstore.Condition{}, attrs)
	s.must(err)
	has("other", headers)

	_, err = s.bucket.Copy(s.Context(), "copy", src, objstore.Condition{})
	s.must(err)
	maps.DeleteFunc(headers, func(name, _ string) bool { return name == "X-Amz-Website-Redirect-Location" }) // of which S3 says that copies have none
	if e, err = s.bucket.Stat(s.Context(), "copy"); err == nil {
		delete(e.Headers, "X-Amz-Website-Redirect-Location")
	}
	s.must(err)
	if !maps.Equal(e.Headers, headers) {
		s.Errorf("a copy has %q, want %q", e.Headers, headers)
	}
}
