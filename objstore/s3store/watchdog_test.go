package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// stallingHandler sends the first half of testVersion, and the rest after release is closed.
func stallingHandler(release <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "abcde")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		_, _ = io.WriteString(w, "fghij")
	}
}

func TestAStalledBodyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{}, stallingHandler(nil))
		began := time.Now()
		body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if !errors.Is(err, objstore.ErrTimeout) || string(got) != "abcde" {
			t.Errorf("got %q, %v", got, err)
		}
		if waited := time.Since(began); waited != defaultProgress {
			t.Errorf("it took %v", waited)
		}
	})
}

func TestAServerThatDoesNotAnswerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{ProgressTimeout: 4 * time.Second}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client is gone once it has read all
			<-r.Context().Done()
		})
		began := time.Now()
		_, err := b.Stat(t.Context(), "key")
		if !errors.Is(err, objstore.ErrTimeout) || time.Since(began) != 4*time.Second {
			t.Errorf("HEAD: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		_, err = b.Put(t.Context(), "key", bytes.NewReader([]byte("x")), 1, objstore.Condition{}, objstore.Attributes{})
		if !errors.Is(err, objstore.ErrTimeout) || time.Since(began) != 4*time.Second {
			t.Errorf("PUT: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		_, err = b.Copy(t.Context(), "copy", testVersion, objstore.Condition{})
		if !errors.Is(err, objstore.ErrTimeout) || time.Since(began) != serverWork {
			t.Errorf("copy: %v after %v", err, time.Since(began))
		}
	})
}

func TestASlowReaderIsNotAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := bucketOver(t, Config{}, stallingHandler(release))
		body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		<-time.After(time.Hour) // the reader is busy with something else
		close(release)
		if got, err := io.ReadAll(body); err != nil || string(got) != "abcdefghij" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestProgressHoweverSlowIsNotAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"etag"`)
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			for _, c := range "abcdefghij" {
				<-time.After(defaultProgress - time.Second)
				_, _ = io.WriteString(w, string(c))
				_ = http.NewResponseController(w).Flush()
			}
		})
		// The headers come with the first byte.
		body, err := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if got, err := io.ReadAll(body); err != nil || string(got) != "abcdefghij" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestTheContextEndsARequestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOver(t, Config{}, stallingHandler(nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body, err := b.Open(ctx, testVersion, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		began := time.Now()
		if _, err := io.ReadAll(body); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("it took %v", waited)
		}
	})
}
