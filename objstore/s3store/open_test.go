package s3store

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// testVersion is what the answers below are about: 10 bytes.
var testVersion = objstore.Version{Bucket: "bucket", Key: "key", ETag: "etag", Size: 10}

func TestOpenVerifiesTheAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		r      objstore.Range
		want   error // nil: the body is right
	}{
		{"part", 206, map[string]string{"ETag": `"etag"`, "Content-Range": "bytes 2-5/10"}, "cdef", objstore.Range{Off: 2, Len: 4}, nil},
		{"weak tag", 206, map[string]string{"ETag": `W/"etag"`, "Content-Range": "bytes 2-5/10"}, "cdef", objstore.Range{Off: 2, Len: 4}, nil},
		{"size not told", 206, map[string]string{"ETag": `"etag"`, "Content-Range": "bytes 2-5/*"}, "cdef", objstore.Range{Off: 2, Len: 4}, nil},
		{"whole with 200", 200, map[string]string{"ETag": `"etag"`}, "abcdefghij", objstore.Range{Len: 10}, nil},
		{"other tag", 206, map[string]string{"ETag": `"other"`, "Content-Range": "bytes 2-5/10"}, "cdef", objstore.Range{Off: 2, Len: 4}, objstore.ErrChanged},
		{"no tag", 206, map[string]string{"Content-Range": "bytes 2-5/10"}, "cdef", objstore.Range{Off: 2, Len: 4}, objstore.ErrChanged},
		{"other size", 206, map[string]string{"ETag": `"etag"`, "Content-Range": "bytes 2-5/11"}, "cdef", objstore.Range{Off: 2, Len: 4}, objstore.ErrChanged},
		{"other whole size", 200, map[string]string{"ETag": `"etag"`}, "abcdefghijk", objstore.Range{Len: 10}, objstore.ErrChanged},
		{"range ignored", 200, map[string]string{"ETag": `"etag"`}, "abcdefghij", objstore.Range{Off: 2, Len: 4}, objstore.ErrCorrupt},
		{"other range", 206, map[string]string{"ETag": `"etag"`, "Content-Range": "bytes 1-4/10"}, "bcde", objstore.Range{Off: 2, Len: 4}, objstore.ErrCorrupt},
		{"shorter than its range", 206, map[string]string{"ETag": `"etag"`, "Content-Range": "bytes 2-5/10"}, "cde", objstore.Range{Off: 2, Len: 4}, objstore.ErrCorrupt},
		{"range not told", 206, map[string]string{"ETag": `"etag"`}, "cdef", objstore.Range{Off: 2, Len: 4}, objstore.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("If-Match"); got != `"etag"` {
					t.Errorf("If-Match is %s", got)
				}
				for k, v := range test.header {
					w.Header().Set(k, v)
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(test.body)))
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			body, err := b.Open(t.Context(), testVersion, test.r)
			if test.want != nil {
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || string(got) != test.body {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestOpenRefusesRangesOutsideOfTheVersion(t *testing.T) {
	b := bucketOver(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	for _, r := range []objstore.Range{{Off: -1, Len: 2}, {}, {Off: 5, Len: 6}, {Off: 10, Len: 1}, {Off: 2, Len: -1}} {
		if _, err := b.Open(t.Context(), testVersion, r); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// answerChunked sends body without saying how long it is.
func answerChunked(body string, abort bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		if abort {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestABodyIsExactlyAsLongAsItsRange(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"too long", answerChunked("abcdefghijk", false), objstore.ErrCorrupt},
		{"too short", answerChunked("abcdefghi", false), io.ErrUnexpectedEOF},
		{"broken", answerChunked("abcdefghi", true), io.ErrUnexpectedEOF},
		{"right", answerChunked("abcdefghij", false), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bucketOver(t, Config{}, test.handler)
			body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if want := "abcdefghij"[:min(len(got), 10)]; string(got) != want {
				t.Errorf("got %q", got)
			}
			if n, again := body.Read(make([]byte, 1)); n != 0 || (err != nil && again == nil) {
				t.Errorf("a read after the end: %d, %v", n, again)
			}
		})
	}
}

func TestAClosedBodyGivesNoBytes(t *testing.T) {
	b := bucketOver(t, Config{}, answerChunked("abcdefghij", false))
	body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := body.Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// Close may come while a Read waits, and ends it.
func TestABodyIsClosedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{}, stallingHandler(nil))
		body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(body)
			read <- err
		}()
		synctest.Wait()
		body.Close()
		if err := <-read; !errors.Is(err, errBodyClosed) {
			t.Errorf("the read ended with %v", err)
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 0-0/*", "bytes */10", "bytes -1-2/3", "", "bytes 1-2", "bytes 18446744073709551615-1/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, size, ok := parseContentRange(s)
		if ok && (first < 0 || last < 0 || size < -1) {
			t.Errorf("%q gives %d-%d of %d", s, first, last, size)
		}
	})
}
