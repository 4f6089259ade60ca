package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who mounts waits for a store for as long as it answers that it is not ready, and no longer than so much after that.
func TestWhileAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stack
		begun := time.Now()
		ctx, cancel := s.whileAnswered(t.Context(), 20*time.Second)
		defer cancel()
		inner, end := context.WithTimeout(ctx, time.Hour)
		defer end()
		for range 30 {
			time.Sleep(2 * time.Second)
			s.answered()
		}
		if ctx.Err() != nil || inner.Err() != nil {
			t.Fatal("the store has answered all the time")
		}
		<-inner.Done()
		if took := time.Since(begun); took != 80*time.Second || !errors.Is(inner.Err(), context.DeadlineExceeded) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%v, %v after %v", inner.Err(), ctx.Err(), took)
		}
		ctx, cancel = s.whileAnswered(t.Context(), 20*time.Second)
		if cancel(); !errors.Is(ctx.Err(), context.Canceled) {
			t.Error(ctx.Err())
		}
	})
}

// A bucket that was just made is waited for beyond what a silent store is given.
func TestNewBucketIsAwaited(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= 3 { // it is asked every two seconds
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>InvalidRegion</Code></Error>")
			return
		}
		_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
	}))
	defer server.Close()
	s, err := openStore(t.Context(), storeOptions{endpoint: server.URL, region: "us-east-1", noSignRequest: true, maxConcurrency: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	ctx, cancel := s.whileAnswered(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.bucket(ctx, "bucket", ""); err != nil {
		t.Errorf("%v, after %d answers", err, asked.Load())
	}
}
