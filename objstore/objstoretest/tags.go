package objstoretest

import (
	"bytes"
	"errors"

	"github.com/headrace/headrace/objstore"
)

// testTags: tags go along with an object, and are told for another write of it.
func testTags(s *suite) {
	const tags = "kind=a%2Fb&run=7"
	attrs := objstore.Attributes{ContentType: "text/plain", Tags: tags}
	_, err := s.bucket.Put(s.Context(), "key", bytes.NewReader([]byte("tagged")), 6, objstore.Condition{}, attrs)
	s.must(err)
	e, err := s.bucket.Stat(s.Context(), "key")
	s.must(err)
	if e.Tagged != (s.quirks.NoTagCount == "") {
		s.Errorf("tagged is %v, except: %q", e.Tagged, s.quirks.NoTagCount)
	}
	if _, ok := objstore.AsTagger(s.bucket); !ok || !e.Tagged {
		return // an optional power: tags are lost then
	}
	got, err := objstore.AttributesOf(s.Context(), s.bucket, e)
	if errors.Is(err, objstore.ErrUnsupported) {
		return // by what is decorated
	}
	s.must(err)
	if got.Tags != tags || got.ContentType != attrs.ContentType {
		s.Errorf("attributes are %+v", got)
	}
	s.put("plain", []byte("plain"))
	if e, err = s.bucket.Stat(s.Context(), "plain"); err != nil || e.Tagged {
		s.Errorf("without tags: %+v %v", e, err)
	}
}
