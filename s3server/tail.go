package s3server

import (
	"io"
	"strings"
	"sync"
)

// tailSize is enough for the last lines, in bytes: what a server says before it gives up.
const tailSize = 2 << 10

// tail keeps the last bytes written to it for an error message, and passes everything on.
type tail struct {
	next io.Writer // nil for none

	mu  sync.Mutex // guards buf
	buf []byte
}

// Write never fails for the server's sake: a broken log must not stop it.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.mu.Unlock()
	if t.next != nil {
		_, _ = t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
