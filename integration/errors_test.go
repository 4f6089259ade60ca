package integration

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An object the store forbids to read is EACCES, and so is an archived one, and one that is encrypted with its owner's
// key (SSE-C).
func TestForbidden(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{"AccessDenied": http.StatusForbidden, "InvalidObjectState": http.StatusForbidden, "InvalidRequest": http.StatusBadRequest} {
		b := newBucket(t)
		b.putText("dir/small", "x")
		b.put("dir/large", 1, 3*chunk)
		p := newProxy(t, b.server.Endpoint())
		m := mountFaulty(t, b, p.endpoint())
		p.inject(&fault{operation: "GET", act: answer(status, code)})
		for _, name := range []string{"small", "large"} {
			if _, err := os.ReadFile(m.path("dir", name)); !isErrno(err, syscall.EACCES) {
				t.Errorf("%s, %s: %v, should be EACCES", code, name, err)
			}
		}
	}
}

// Bytes that are not of the version asked for are never served: when the store keeps answering with another ETag or
// another length, the read fails.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	wrongs := map[string]action{
		"ETag":          rewrite(func(h http.Header) { h.Set("ETag", otherETag()) }),
		"no ETag":       rewrite(func(h http.Header) { h.Del("ETag") }),
		"length":        shorten(1),
		"Content-Range": rewrite(func(h http.Header) { h.Set("Content-Range", "bytes 5-10/11") }),
		"whole size":    rewrite(func(h http.Header) { h.Set("Content-Range", h.Get("Content-Range")+"0") }),
	}
	for name, wrong := range wrongs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkWrongAnswer(t, wrong)
		})
	}
}

func checkWrongAnswer(t *testing.T, wrong action) {
	b := newBucket(t)
	b.put("small", 1, 1000)
	b.put("large", 2, 3*chunk)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--metadata-ttl", "0s")
	p.inject(&fault{operation: "GET", act: wrong})
	begun := time.Now()
	for _, name := range []string{"small", "large"} {
		if got, err := os.ReadFile(m.path(name)); err == nil || len(got) > 0 {
			t.Errorf("%s: %d bytes were served, %v", name, len(got), err)
		}
	}
	if took := time.Since(begun); took > 3*time.Minute {
		t.Errorf("it took %v until the reads failed", took)
	}
	p.heal()
	for i, name := range []string{"small", "large"} {
		o := object{content: pattern(i + 1), size: []int64{1000, 3 * chunk}[i]}
		if got, err := hashFile("read", m.path(name)); err != nil || got != o.sha256() {
			t.Errorf("%s: after the store is well again: %s, %v", name, got, err)
		}
	}
}

// A store that refuses or fails for the whole time of trying (a minute) is EIO in the end, and a line in the log says
// which operation on which key.
func TestGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/file", "x")
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--metadata-ttl", "0s")
	m.names("dir") // the name is known, so that it is the open which fails
	p.inject(&fault{operation: "GET", act: answer(http.StatusServiceUnavailable, "SlowDown")})
	p.inject(&fault{operation: "LIST", key: "other/", act: answer(http.StatusInternalServerError, "InternalError")})
	listed := make(chan error, 1)
	go func() {
		_, err := os.Stat(m.path("other"))
		listed <- err
	}()
	begun := time.Now()
	_, err := os.ReadFile(m.path("dir", "file"))
	if took := time.Since(begun); !isErrno(err, syscall.EIO) || took < 30*time.Second || took > 3*time.Minute {
		t.Errorf("open and read: %v after %v, should be EIO after about a minute", err, took)
	}
	if err := <-listed; !isErrno(err, syscall.EIO) {
		t.Errorf("stat: %v, should be EIO", err)
	}
	m.inspect = func(lines []logLine) {
		for _, want := range []string{"GetObject s3://" + b.name + "/dir/file", "ListObjectsV2 s3://" + b.name + "/other/"} {
			if !anyLine(lines, want) {
				t.Errorf("no line of the log at level WARN or above tells of %q", want)
			}
		}
	}
}

// anyLine tells whether a line at WARN or above contains text.
func anyLine(lines []logLine, text string) bool {
	for _, line := range lines {
		if line.level >= slog.LevelWarn && strings.Contains(line.text, text) {
			return true
		}
	}
	return false
}
