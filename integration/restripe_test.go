package integration

import (
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// `headrace restripe` puts large objects of one piece into parts, on the store's side, with what goes along with them,
// and leaves the others.
func TestRestripe(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("models/small", mib)
	store := l.Bucket(lotaBucket)
	attrs := objstore.Attributes{ContentType: "application/x-model", Metadata: map[string]string{"step": "7"}, Tags: "a=1", StorageClass: "STANDARD_IA", Headers: map[string]string{
		"Cache-Control": "no-cache", "Content-Disposition": `attachment; filename="m.bin"`, "Content-Encoding": "gzip", "Content-Language": "en",
		"Expires": "never", "X-Amz-Website-Redirect-Location": "/m",
	}}
	content := strings.Repeat("0123456789abcdef", 130<<20/16)
	before := must[objstore.Entry](t)(store.Put(t.Context(), "models/large", strings.NewReader(content), int64(len(content)), objstore.Condition{}, attrs))
	m := l.mount("http://cwlota.com")
	if got := l.run(0, "", "restripe", "--dry-run", m.path("models")); !strings.Contains(got, "s3://training/models/large 130 MiB") || !strings.Contains(got, "would copy 1 objects, 130 MiB; 1 need it not") {
		t.Errorf("dry run: %s", got)
	}
	if got := l.run(0, "", "restripe", m.path("models")); !strings.Contains(got, "copied 1 objects in parts, 130 MiB") {
		t.Errorf("restripe: %s", got)
	}
	after := must[objstore.Entry](t)(store.Stat(t.Context(), "models/large"))
	if !strings.HasSuffix(after.ETag, "-3") || after.ContentType != attrs.ContentType || after.Metadata["step"] != "7" || after.StorageClass != attrs.StorageClass || !maps.Equal(after.Headers, attrs.Headers) {
		t.Errorf("after: %+v", after)
	}
	if tags := must[string](t)(store.Tags(t.Context(), "models/large")); tags != attrs.Tags {
		t.Errorf("its tags are %q", tags)
	}
	old := objstore.VersionOf(store, before)
	if _, err := store.Open(t.Context(), old, objstore.Range{Len: 1}); err == nil {
		t.Error("the object of one piece is still there")
	}
	if got := must[[]byte](t)(os.ReadFile(m.path("models", "large"))); string(got) != content {
		t.Error("the content has changed")
	}
	for _, r := range l.Requests() {
		if reads(r) && r.Key == "models/large" && r.At.Before(after.ModTime) {
			t.Errorf("its bytes came here: %+v", r)
		}
	}
	if got := l.run(0, "", "restripe", "s3://training", "--endpoint", "http://cwlota.com"); !strings.Contains(got, "copied 0 objects") {
		t.Errorf("again: %s", got)
	}
	if got := l.run(10, "", "restripe", "s3://training/none", "--endpoint", "http://cwlota.com"); !strings.Contains(got, "s3://training/none") {
		t.Errorf("what is not there: %s", got)
	}
}

// What a kill leaves of a copy in parts is given up by the next run, on the same machine, and nobody else's upload.
func TestRestripeKilled(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	store := l.Bucket(lotaBucket)
	l.put("models/large", 130*mib)
	others := must[string](t)(store.CreateUpload(t.Context(), "models/large", objstore.Attributes{}))
	for _, args := range [][]string{{"restripe", "s3://training/models/large"}, {"replicate", "--copies", "1", "s3://training/models/large"}} {
		args = append(args, "--endpoint", "http://cwlota.com")
		before := len(l.Requests())
		copies := func(r cwsim.Request) bool { return r.Method == "PUT" && strings.Contains(r.Query, "partNumber") }
		release := l.Hold(copies)
		cmd := exec.Command(must[string](t)(shared.raced()), args...)
		cmd.Env = append(os.Environ(), l.environment...)
		run := start(t, cmd)
		eventually(t, patience, "parts to be copied", func() bool { return len(l.keys(before, copies)) > 0 })
		_ = run.cmd.Process.Kill()
		run.await(patience)
		release()
		if got := l.run(0, "", args...); !strings.Contains(got, "gave up 1 multipart uploads") {
			t.Errorf("%q again: %s", args[0], got)
		}
		for u, err := range store.ListUploads(t.Context(), "") {
			if err != nil || u.ID != others {
				t.Errorf("%q has left %+v, %v", args[0], u, err)
			}
		}
	}
	if _, err := store.UploadPart(t.Context(), "models/large", others, 1, strings.NewReader("x"), 1); err != nil {
		t.Errorf("somebody else's upload: %v", err)
	}
}
