package bench

import (
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// What is written to a given bucket is gone at the end, copies under temporary names included.
func TestWrittenIsRemoved(t *testing.T) {
	server, bucket := given(t)
	opts := quick(t)
	opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
	opts.Workloads = []string{
		"write-checkpoint-fsync", "write-append", "write-small-files", "write-copy", "write-rsync", "write-tar", "write-git", "write-rsync-back", "write-tar-back", "write-git-back",
	}
	opts.Duration = time.Minute // all of these end by themselves, and a program that is cut short on a busy machine has copied nothing
	report, err := Run(t.Context(), opts)
	if err != nil || len(report.Rows) != len(opts.Workloads) {
		t.Fatalf("%+v, %v", report, err)
	}
	for page, err := range bucket.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 2 {
			t.Errorf("the bucket holds %v, %v", page.Entries, err)
		}
	}
}

// Where objects are given nothing is written.
func TestNothingIsWrittenReadOnly(t *testing.T) {
	server, _ := given(t)
	opts := quick(t)
	opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
	opts.ReadOnly, opts.Keys, opts.Workloads = true, []string{"data/a"}, []string{"write-1", "write-staging-4k"}
	report, err := Run(t.Context(), opts)
	if err != nil || len(report.Rows) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Rows {
		if r.Skipped == "" || r.Mount != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// Writers whose time is up are marked as cut on both sides, and what they have stored is what counts.
func TestWritingIsCut(t *testing.T) {
	opts := quick(t)
	opts.FirstByte, opts.Rate = 50*time.Millisecond, 80*mib
	opts.SmallFiles, opts.Workloads = 2000, []string{"write-small-files"}
	report, err := Run(t.Context(), opts) // a second for a thousand files, 50 ms each and 8 at a time
	if err != nil {
		t.Fatal(err)
	}
	r := report.Rows[0]
	if !r.ReferenceCut || !r.MountCut || r.Mount <= 0 || r.Mount > 160 {
		t.Errorf("%+v", r)
	}
}
