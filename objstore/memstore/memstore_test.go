package memstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// Memstore refuses nothing.
func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Bucket { return memstore.New("bucket") }, objstoretest.Quirks{})
}

// A body that is shorter than it was said to be stores nothing.
func TestShortBody(t *testing.T) {
	s := memstore.New("bucket")
	_, err := s.Put(t.Context(), "key", strings.NewReader("abc"), 4, objstore.Condition{}, objstore.Attributes{})
	if !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
	if _, err := s.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("after the failure: %v, want ErrNotExist", err)
	}
}

// ETags are what S3 makes them.
func TestETags(t *testing.T) {
	s := memstore.New("bucket")
	e, err := s.Put(t.Context(), "key", strings.NewReader("hello"), 5, objstore.Condition{}, objstore.Attributes{})
	if want := "5d41402abc4b2a76b9719d911017c592"; err != nil || e.ETag != want {
		t.Errorf("%+v, %v; want etag %s", e, err, want)
	}
	id, err := s.CreateUpload(t.Context(), "parts", objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.UploadPart(t.Context(), "parts", id, 1, strings.NewReader("hello"), 5)
	if err != nil {
		t.Fatal(err)
	}
	e, err = s.CompleteUpload(t.Context(), "parts", id, []objstore.Part{p}, objstore.Condition{})
	if want := "62109206880d38a4010a98e11243924a-1"; err != nil || e.ETag != want {
		t.Errorf("%+v, %v; want etag %s", e, err, want)
	}
}

// Prestaging is remembered, and refused for what is not there.
func TestPrestage(t *testing.T) {
	s := memstore.New("bucket")
	if _, err := s.Put(t.Context(), "key", strings.NewReader(""), 0, objstore.Condition{}, objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Prestage(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if err := s.Prestage(t.Context(), "nothing"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
	if got := s.Prestaged(); !slices.Equal(got, []string{"key"}) {
		t.Errorf("prestaged %q", got)
	}
}
