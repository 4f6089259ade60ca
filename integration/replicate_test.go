package integration

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/replicas"
)

// `headrace replicate` keeps copies of hot objects under other hashes; a mount with --replicas reads from all of them,
// never from one that is not the same, and not at all when they are removed.
func TestReplicas(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("cold", mib)
	content := bytes.Repeat([]byte("0123456789abcdef"), 70<<20/16)
	must[objstore.Entry](t)(l.Bucket(lotaBucket).Put(t.Context(), "hot", bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}))
	args := []string{"replicate", "s3://" + lotaBucket + "/hot", "--endpoint", "http://cwlota.com"}
	if got := l.run(0, "", append(args, "--copies", "3", "--dry-run")...); !strings.Contains(got, "would keep 3 copies of each of 1 objects, 210 MiB in all") {
		t.Errorf("dry run: %s", got)
	}
	if got := l.run(0, "", append(args, "--copies", "3")...); !strings.Contains(got, "1 objects have 3 copies each") {
		t.Errorf("replicate: %s", got)
	}
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "http://cwlota.com", environment: l.environment, provoked: slog.LevelWarn,
		flags: []string{"--replicas", "--memory", "32MiB", "--read-mode", "direct"},
	})
	const fromCopy, fellBack = "headrace_replica_reads_total", "headrace_replica_fallbacks_total"
	m.read("cold") // has it look for manifests
	eventually(t, patience, "the manifest to be read", func() bool {
		return len(l.keys(0, func(r cwsim.Request) bool { return reads(r) && strings.HasSuffix(r.Key, ".json") })) > 0
	})
	before := len(l.Requests())
	if got := m.read("hot"); got != string(content) {
		t.Error("the content is another")
	}
	used := make(map[string]bool)
	for _, key := range l.keys(before, reads) {
		used[key] = true
	}
	if len(used) < 3 || m.counters(fromCopy)[fromCopy] < 3 {
		t.Errorf("read from %v, %v times from copies", used, m.counters(fromCopy)[fromCopy])
	}
	// A copy that somebody has written over is not read.
	for key := range used {
		if key != "hot" {
			l.put(key, int64(len(content)))
		}
	}
	m.read("cold")
	if got := m.read("hot"); got != string(content) || m.counters(fellBack)[fellBack] == 0 {
		t.Errorf("copies that are not the same: %v reads went to the original", m.counters(fellBack)[fellBack])
	}
	if got := l.run(0, "", append(args, "--copies", "0")...); !strings.Contains(got, "1 objects have 0 copies each") {
		t.Errorf("removal: %s", got)
	}
	for page, err := range l.Bucket(lotaBucket).List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 2 {
			t.Errorf("left: %+v, %v", page.Entries, err)
		}
	}
	if got := l.run(2, "", args...); !strings.Contains(got, "--copies") {
		t.Errorf("without a number: %s", got)
	}
}

// Small objects are read from copies as well, and an open still sees what somebody else has just stored, of which the
// copies know nothing.
func TestReplicasOfSmallObjects(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	const objects = 8
	store := func(i int, content string) {
		t.Helper()
		must[objstore.Entry](t)(l.Bucket(lotaBucket).Put(t.Context(), fmt.Sprint("hot/", i), strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}))
	}
	for i := range objects {
		store(i, "before")
	}
	l.put("hot/large", 40*mib)
	l.run(0, "", "replicate", "s3://"+lotaBucket+"/hot", "--endpoint", "http://cwlota.com", "--copies", "3")
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "http://cwlota.com", environment: l.environment,
		flags: []string{"--replicas", "--memory", "32MiB", "--read-mode", "direct", "--metadata-ttl", "0s"},
	})
	const fromCopy = "headrace_replica_reads_total"
	eventually(t, patience, "copies to be known of", func() bool {
		m.read("hot", "large") // which memory does not hold
		return m.counters(fromCopy)[fromCopy] > 0
	})
	before := len(l.Requests())
	m.names("hot") // what is known of the names from here on is old
	for i := range objects {
		store(i, "after!")
		if got := m.read("hot", fmt.Sprint(i)); got != "after!" {
			t.Errorf("hot/%d is read as it was: %q", i, got)
		}
	}
	if got := l.keys(before, func(r cwsim.Request) bool { return reads(r) && strings.Contains(r.Key, "/.headrace/replicas/") }); len(got) == 0 {
		t.Error("no copy was read")
	}
}

// With hashed keys the copies are of objects as they are stored: named by a file of the mount, made for it, read by it,
// and not when the object is another.
func TestReplicasOfHashedKeys(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	before, after := noise(40<<20, 1), noise(40<<20, 2)
	original := hashed.Encode("models/hot")
	put := func(content []byte) {
		t.Helper()
		must[objstore.Entry](t)(l.Bucket(lotaBucket).Put(t.Context(), original, bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}))
	}
	put(before)
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "http://cwlota.com", environment: l.environment,
		flags: []string{"--replicas", "--key-layout", "hashed", "--memory", "32MiB", "--read-mode", "direct", "--metadata-ttl", "0s"},
	})
	if got := l.run(0, "", "replicate", m.path("models", "hot"), "--copies", "2"); !strings.Contains(got, "1 objects have 2 copies each") {
		t.Errorf("replicate: %s", got)
	}
	fromCopies := func(after int) (used []string) {
		for _, key := range l.keys(after, reads) {
			if strings.Contains(key, "/"+replicas.Prefix) && !slices.Contains(used, key) {
				used = append(used, key)
			}
		}
		return used
	}
	eventually(t, patience, "both copies to be read", func() bool { // memory does not hold the object
		if m.read("models", "hot") != string(before) {
			t.Fatal("the content is another")
		}
		return len(fromCopies(0)) == 2
	})
	if want := []string{replicas.CopyKey(original, 1), replicas.CopyKey(original, 2)}; !slices.Contains(want, fromCopies(0)[0]) || !slices.Contains(want, fromCopies(0)[1]) {
		t.Errorf("read from %q, should be %q", fromCopies(0), want)
	}
	put(after)
	asked := len(l.Requests())
	if m.read("models", "hot") != string(after) || len(fromCopies(asked)) > 0 {
		t.Errorf("after the object was replaced, read from %q", fromCopies(asked))
	}
}
