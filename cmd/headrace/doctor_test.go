package main

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/probe"
	"github.com/headrace/headrace/objstore/s3store"
)

// judged finds what a check came to.
func judged(t *testing.T, all []finding, check string) finding {
	t.Helper()
	for _, f := range all {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("nothing about %q in %+v", check, all)
	return finding{}
}

func wantFinding(t *testing.T, f finding, s severity, found, advice string) {
	t.Helper()
	if f.Severity != s || !strings.Contains(f.Found, found) || !strings.Contains(f.Advice, advice) {
		t.Errorf("%s: %v %q: %q; want %v %q: %q", f.Check, f.Severity, f.Found, f.Advice, s, found, advice)
	}
}

// healthy is a machine on which all is well.
func healthy() hostFacts {
	return hostFacts{kernel: "6.12.1-amd64", root: true, admin: true, tunable: true, maxPages: 256, openFiles: 1 << 20, addresses: unix.RLIM_INFINITY, memory: 64 * gib, group: math.MaxInt64}
}

func TestJudgeHost(t *testing.T) {
	for _, f := range judgeHost(healthy(), 2*gib) {
		if f.Severity != fine || f.Advice != "" {
			t.Errorf("a healthy machine: %+v", f)
		}
	}
	for name, c := range map[string]struct {
		change        func(*hostFacts)
		check         string
		severity      severity
		found, advice string
	}{
		"no fuse":         {func(f *hostFacts) { f.fuse = errors.New("/dev/fuse is not there") }, "fuse", mistaken, "is not there", ""},
		"an old kernel":   {func(f *hostFacts) { f.kernel = "5.15.0" }, "kernel", noted, "no FUSE passthrough", "6.9"},
		"6.8":             {func(f *hostFacts) { f.kernel = "6.8.0-40" }, "kernel", noted, "no FUSE passthrough", "6.9"},
		"no capability":   {func(f *hostFacts) { f.admin = false }, "kernel", noted, "CAP_SYS_ADMIN", "root"},
		"odd":             {func(f *hostFacts) { f.kernel = "unknown" }, "kernel", noted, "cannot tell", ""},
		"small requests":  {func(f *hostFacts) { f.maxPages = 32 }, "requests", warned, "at most 128 KiB", "sysctl"},
		"readahead":       {func(f *hostFacts) { f.tunable = false }, "readahead", noted, "128 KiB", "/sys"},
		"few files":       {func(f *hostFacts) { f.openFiles = 1024 }, "open files", warned, "1024", "ulimit -n"},
		"a small group":   {func(f *hostFacts) { f.group = 2 * gib }, "memory", mistaken, "the control group has 2.0 GiB", "smaller --memory"},
		"a small machine": {func(f *hostFacts) { f.memory = gib }, "memory", mistaken, "the machine has", "smaller --memory"},
		"address space":   {func(f *hostFacts) { f.addresses = 4 * gib }, "addresses", warned, "limited to 4.0 GiB", "ulimit -v"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			c.change(&f)
			wantFinding(t, judged(t, judgeHost(f, 2*gib), c.check), c.severity, c.found, c.advice)
		})
	}
}

func TestCapable(t *testing.T) {
	root := fstest.MapFS{"proc/self/status": {Data: []byte("Name:\tx\nCapEff:\t0000000000200000\n")}}
	if !capable(root, unix.CAP_SYS_ADMIN) || capable(root, unix.CAP_NET_ADMIN) || capable(fstest.MapFS{}, unix.CAP_SYS_ADMIN) {
		t.Error("capabilities are not told apart")
	}
}

// reachable is a store at which all is well.
func reachable() storeFacts {
	return storeFacts{
		endpoint: s3store.Lota, lota: true, reached: s3store.Reached{Took: time.Millisecond, HasDate: true},
		credential: s3store.CredentialFacts{KeyID: "AKIAIOSFODNN7EXAMPLE", Source: "EnvConfigCredentials"},
	}
}

// listable is a bucket with which all is well.
func listable() bucketFacts { return bucketFacts{name: "b", region: "US-EAST-04A", virtual: true} }

func TestJudgeStore(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, f := range append(judgeStore(reachable(), now), judgeBucket(reachable(), listable())...) {
		if f.Severity != fine || f.Advice != "" || strings.Contains(f.Found, "AKIAIOSFODNN7EXAMPLE") {
			t.Errorf("a healthy store: %+v", f)
		}
	}
	for name, c := range map[string]struct {
		change        func(*storeFacts)
		check         string
		severity      severity
		found, advice string
	}{
		"down":           {func(f *storeFacts) { f.reachErr = errors.New("connection refused") }, "endpoint", mistaken, "connection refused", "--endpoint"},
		"outside":        {func(f *storeFacts) { f.endpoint, f.lota = s3store.Origin, false }, "endpoint", noted, "answers", "--endpoint auto"},
		"a wrong clock":  {func(f *storeFacts) { f.reached.Clock = -time.Hour }, "clock", mistaken, "1h0m0s apart", "timedatectl"},
		"a bad clock":    {func(f *storeFacts) { f.reached.Clock = 6 * time.Minute }, "clock", warned, "6m0s apart", "15 minutes"},
		"no credentials": {func(f *storeFacts) { f.credentialErr = objstore.ErrCredentials }, "credentials", mistaken, "there are none", "--profile"},
		"expired":        {func(f *storeFacts) { f.credential.Expires = now.Add(-time.Minute) }, "credentials", mistaken, "has expired", "renew"},
		"expiring":       {func(f *storeFacts) { f.credential.Expires = now.Add(time.Hour) }, "credentials", fine, "until 2026-01-02 04:04:05", ""},
		"refused": {
			func(f *storeFacts) {
				f.refused = &objstore.Error{Op: "ListBuckets", Status: 403, Code: "InvalidAccessKeyId", Err: objstore.ErrCredentials}
			},
			"credentials", mistaken, "is refused by the store (InvalidAccessKeyId)", "revoked",
		},
		"of a role":       {func(f *storeFacts) { f.credential.Whose = "role arn:r" }, "credentials", fine, "EnvConfigCredentials (role arn:r), which does not expire", ""},
		"anonymous":       {func(f *storeFacts) { f.credential = s3store.CredentialFacts{} }, "credentials", fine, "not signed", ""},
		"no time is told": {func(f *storeFacts) { f.reached.HasDate = false }, "clock", noted, "does not tell", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := reachable()
			c.change(&f)
			wantFinding(t, judged(t, judgeStore(f, now), c.check), c.severity, c.found, c.advice)
		})
	}
}

// What a probe has left that was killed is told of, and not what one that runs has just written.
func TestLeftOfProbes(t *testing.T) {
	b := memstore.New("b")
	for _, key := range []string{probe.Prefix + "A/x", probe.Prefix + "A/y", "other"} {
		if _, err := b.Put(t.Context(), key, strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	for age, want := range map[time.Duration]int{time.Minute: 0, 2 * probeAge: 2} {
		if got := leftOfProbes(t.Context(), b, time.Now().Add(age)); got != want {
			t.Errorf("%d after %v, want %d", got, age, want)
		}
	}
}

func TestJudgeBucket(t *testing.T) {
	denied := &objstore.Error{Op: "ListObjectsV2", Status: 403, Code: "AccessDenied", Err: objstore.ErrPermission}
	for name, c := range map[string]struct {
		change        func(*bucketFacts)
		check         string
		severity      severity
		found, advice string
	}{
		"denied":      {func(f *bucketFacts) { f.err = denied }, "bucket", mistaken, "denies access", ""},
		"in the path": {func(f *bucketFacts) { f.virtual = false }, "addressing", mistaken, "CoreWeave refuses", "--path-style"},
		"uploads":     {func(f *bucketFacts) { f.uploads, f.oldest = 3, time.Now() }, "uploads", noted, "3 multipart uploads in bucket b", "list-multipart-uploads"},
		"probes":      {func(f *bucketFacts) { f.probes = 2 }, "probes", noted, "2 objects in bucket b", "s3://b/.headrace-probe-"},
		"hashed":      {func(f *bucketFacts) { f.hashed = true }, "key layout", warned, "look hashed", "--key-layout hashed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := listable()
			c.change(&f)
			wantFinding(t, judged(t, judgeBucket(reachable(), f), c.check), c.severity, c.found, c.advice)
		})
	}
}

// Each power that a store lacks has its advice.
func TestJudgePowers(t *testing.T) {
	r := probe.Result{At: time.Now()}
	for name := range advice {
		r.Answers = append(r.Answers, probe.Answer{Name: name, Detail: "seen"})
	}
	for _, f := range judgePowers(r) {
		if f.Severity == fine || f.Advice == "" || !strings.Contains(f.Found, "seen") {
			t.Errorf("%+v", f)
		}
	}
	for text, a := range map[string]probe.Answer{"--probe": {Name: probe.Rename, Detail: "seen", Unknown: true}, "credentials": {Name: probe.Rename, Detail: "seen", Unknown: true, Forbidden: true}} {
		wantFinding(t, judgePowers(probe.Result{Answers: []probe.Answer{a}})[0], warned, "not found out", text)
	}
	if f := judgePowers(probe.Result{Answers: []probe.Answer{{Name: probe.Rename, Has: true}}})[0]; f.Severity != fine || f.Advice != "" {
		t.Errorf("%+v", f)
	}
}

func TestJudgeDisk(t *testing.T) {
	good := diskFacts{dir: "/nvme", free: 1 << 40, size: 2 << 40, written: 2 * gib, read: 3 * gib}
	for _, f := range judgeDisk(good) {
		if f.Severity != fine {
			t.Errorf("a good disk: %+v", f)
		}
	}
	for name, c := range map[string]struct {
		change        func(*diskFacts)
		check         string
		severity      severity
		found, advice string
	}{
		"unusable": {func(f *diskFacts) { f.err = unix.EROFS }, "cache disk", mistaken, "read-only", "choose"},
		"full":     {func(f *diskFacts) { f.free = gib }, "cache disk", warned, "1.0 GiB", "free some space"},
		"memory":   {func(f *diskFacts) { f.memory = true }, "cache disk", warned, "free of", "--memory"},
		"slow":     {func(f *diskFacts) { f.read = 100 * mib }, "disk speed", noted, "reads 100 MiB/s", "faster"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good
			c.change(&f)
			wantFinding(t, judged(t, judgeDisk(f), c.check), c.severity, c.found, c.advice)
		})
	}
	if f := measureDisk(t.TempDir() + "/not/there"); f.err != nil || f.written <= 0 || f.read <= 0 || f.free <= 0 {
		t.Errorf("this disk: %+v", f)
	}
}

// Uploads that are under way for long are counted, and those of today are not.
func TestForgotten(t *testing.T) {
	store := memstore.New("bucket")
	for _, key := range []string{"a/1", "a/2", "b"} {
		if _, err := store.CreateUpload(t.Context(), key, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	if n, _ := forgotten(t.Context(), store, "", now); n != 0 {
		t.Errorf("%d of today", n)
	}
	if n, oldest := forgotten(t.Context(), store, "a/", now.Add(2*uploadAge)); n != 2 || oldest.IsZero() {
		t.Errorf("%d, the oldest since %v", n, oldest)
	}
}
