// Package objstoretest is the conformance suite of objstore.Bucket: what the interface's comments promise, as tests.
//
// Every store passes it, and every decorator and composition of decorators over a store. Where a real server is
// documented to fall short, its test says so by [Quirks], each with the reason; the suite then proves the shortcoming
// instead, so that a quirk which is no longer true fails.
//
// Its parts: this list of cases, and a file for each part of the interface: reading, listing, writing, multipart
// uploads, copying, keys. What can only be shown with a faulty store (retries, deadlines, resumption) is tested with
// the decorators, not here.
package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// Quirks says where a store is documented to fall short of the interface. The zero value is a store without
// shortcomings. Each string is the reason, empty where the store does as it should.
type Quirks struct {
	// RefusesKey returns the reason why the store does not take key, "" if it does.
	RefusesKey func(key string) string
	// MisplacesKey returns the reason why the store takes key, but lists it under another name; "" if it does not.
	MisplacesKey func(key string) string
	// NoFileBesideDirectory: "a" and "a/b" cannot both exist, or not both be listed.
	NoFileBesideDirectory string
	NoMarkerContent       string // a key that ends in "/" holds no bytes

	NoIfNewPut        string // Put ignores Condition.IfNew or does not know it
	NoIfMatchPut      string
	NoIfNewComplete   string // the same for CompleteUpload
	NoIfMatchComplete string
	NoIfNewCopy       string // the same for Copy
	NoIfMatchCopy     string

	NoIfMatchDelete string // DeleteVersion removes whatever is there

	NoListUploads  string // ListUploads fails, or leaves uploads out
	NoUserMetadata string // metadata given to Put is not given back
	NoTagCount     string // Stat does not say that an object has tags
	// NoHeader returns the reason why one of [objstore.KeptHeaders] is not given back; "" if it is.
	NoHeader  func(name string) string
	Unordered string // listings do not ascend in byte order
}

// Run runs the suite. Each case calls open once, for a bucket that is empty and that nobody else uses meanwhile.
func Run(t *testing.T, open func(t *testing.T) objstore.Bucket, quirks Quirks) {
	t.Helper()
	if quirks.RefusesKey == nil {
		quirks.RefusesKey = func(string) string { return "" }
	}
	if quirks.MisplacesKey == nil {
		quirks.MisplacesKey = func(string) string { return "" }
	}
	if quirks.NoHeader == nil {
		quirks.NoHeader = func(string) string { return "" }
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			c.run(&suite{T: t, bucket: open(t), quirks: quirks})
		})
	}
}

// suite is one case under way.
type suite struct {
	*testing.T
	bucket objstore.Bucket
	quirks Quirks
}

type testCase struct {
	name string
	run  func(*suite)
}

func cases() []testCase {
	return []testCase{
		{"stat", testStat},
		{"stat of what is not there", testStatMissing},
		{"open ranges", testOpenRanges},
		{"open refuses bad ranges", testOpenBadRange},
		{"open of what is not there", testOpenMissing},
		{"open of a changed version", testOpenChanged},
		{"a body ends early when closed", testCloseEarly},
		{"a body ends with its context", testCancelBody},
		{"an ended context ends every request", testCancelled},
		{"many readers at once", testManyReaders},
		{"list", testList},
		{"list pages", testListPages},
		{"list a thousand and more", testListMany},
		{"list stops when told", testListStop},
		{"put", testPut},
		{"put if new", testPutIfNew},
		{"put if match", testPutIfMatch},
		{"one of many creators wins", testPutRace},
		{"delete", testDelete},
		{"delete of a version", testDeleteVersion},
		{"multipart", testMultipart},
		{"multipart of missing or foreign parts", testMultipartInvalid},
		{"multipart abort", testMultipartAbort},
		{"multipart conditions", testMultipartConditions},
		{"multipart copies ranges", testCopyPart},
		{"copy", testCopy},
		{"copy conditions", testCopyConditions},
		{"copy with other attributes", testCopyWith},
		{"tags", testTags},
		{"headers", testHeaders},
		{"rename", testRename},
		{"prestage", testPrestage},
		{"odd keys", testKeys},
		{"a file beside a directory", testFileBesideDirectory},
	}
}

// put stores data and returns the version it became.
func (s *suite) put(key string, data []byte) objstore.Version {
	s.Helper()
	e, err := s.bucket.Put(s.Context(), key, bytes.NewReader(data), int64(len(data)), objstore.Condition{}, objstore.Attributes{})
	s.must(err)
	return objstore.VersionOf(s.bucket, e)
}

// read returns a range of a version and checks that it ends as it should.
func (s *suite) read(v objstore.Version, r objstore.Range) []byte {
	s.Helper()
	body, err := s.bucket.Open(s.Context(), v, r)
	s.must(err)
	defer body.Close()
	data, err := io.ReadAll(body)
	s.must(err)
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		s.Errorf("read after the end: %d bytes, %v; want 0, EOF", n, err)
	}
	return data
}

// holds checks that the key's present content is data.
func (s *suite) holds(key string, data []byte) {
	s.Helper()
	e, err := s.bucket.Stat(s.Context(), key)
	s.must(err)
	if e.Size != int64(len(data)) {
		s.Fatalf("%q has %d bytes, want %d", key, e.Size, len(data))
	}
	if len(data) == 0 {
		return
	}
	if got := s.read(objstore.VersionOf(s.bucket, e), objstore.Range{Len: e.Size}); !bytes.Equal(got, data) {
		s.Errorf("%q has other content than was stored", key)
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fails checks that err is what the interface promises: an *Error about key, and of one of these sentinels.
func (s *suite) fails(err error, key string, want ...error) {
	s.Helper()
	e, ok := errors.AsType[*objstore.Error](err)
	if !ok {
		s.Errorf("%v (%T), want an *objstore.Error", err, err)
		return
	}
	if e.Op == "" || e.Bucket != s.bucket.Name() || e.Key != key {
		s.Errorf("error about %q of %q in %q, want one about %q in %q", e.Op, e.Key, e.Bucket, key, s.bucket.Name())
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	s.Errorf("%v, want one of %v", err, want)
}

// cancelled checks that err is the error of an ended context.
func (s *suite) cancelled(err error) {
	s.Helper()
	if !errors.Is(err, context.Canceled) {
		s.Errorf("error %v, want the context's", err)
	}
}

// pattern is n bytes, of which no two runs are alike; of two patterns the shorter begins the longer.
func pattern(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}
