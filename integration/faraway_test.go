package integration

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// A mount of a bucket whose home is 150 ms away finds that out by itself: from the first large file on, writes may
// stand still for longer and more parts are sent at the same time. What is stored is what was written, and what another
// mount reads.
func TestBucketFarAway(t *testing.T) {
	t.Parallel()
	const latency = 150 * time.Millisecond
	l := newLota(t, cwsim.Options{Buckets: []cwsim.Bucket{{Name: lotaBucket, Away: true}}, FarLatency: latency})
	m := l.mount("http://cwlota.com")
	const measured, patient, parts = `headrace_store_write_latency_seconds{bucket="training"}`, `headrace_store_write_patience_seconds{bucket="training"}`, `headrace_upload_parts_at_once{bucket="training"}`
	if now := m.counters(measured, patient, parts); now[measured] != 0 || now[patient] != 15 || now[parts] != 8 {
		t.Errorf("before anything is written: %v", now)
	}
	content := noise(66<<20, 7) // two parts
	if err := os.WriteFile(m.path("weights"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	// A machine that is busy makes it longer, and never shorter. All of it follows from the latency: 15 s and 8 parts for
	// 40 ms.
	if now := m.counters(measured, patient, parts); now[measured] < latency.Seconds() || now[patient] < 56 || now[parts] < 30 {
		t.Errorf("after a file was stored: %v", now)
	}
	e := must[objstore.Entry](t)(l.Bucket(lotaBucket).Stat(t.Context(), "weights"))
	body := must[io.ReadCloser](t)(l.Bucket(lotaBucket).Open(t.Context(), objstore.VersionOf(l.Bucket(lotaBucket), e), objstore.Range{Len: e.Size}))
	defer body.Close()
	if stored, err := io.ReadAll(body); err != nil || !bytes.Equal(stored, content) {
		t.Errorf("%d bytes are stored, %v: they are not what was written", len(stored), err)
	}
	other := l.mount("http://cwlota.com", "--read-only")
	if read, err := os.ReadFile(other.path("weights")); err != nil || !bytes.Equal(read, content) {
		t.Errorf("%d bytes are read, %v: they are not what was written", len(read), err)
	}
}
