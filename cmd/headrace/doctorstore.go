package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/probe"
	"github.com/headrace/headrace/objstore/s3store"
)

// storeFacts are what matters of a store.
type storeFacts struct {
	endpoint      string
	lota          bool
	reached       s3store.Reached
	reachErr      error
	credential    s3store.CredentialFacts
	credentialErr error
	refused       error // the store does not know the credential, or not any more
}

// bucketFacts are what matters of a bucket.
type bucketFacts struct {
	name    string
	err     error // it cannot be used
	region  string
	virtual bool
	hashed  bool // its keys look so
	layout  layoutOptions

	uploads int       // multipart uploads that are under way for longer than uploadAge
	oldest  time.Time // of them
	probes  int       // objects that probes have left which were killed
}

const (
	// uploadAge is how long an upload may be under way before somebody seems to have forgotten it.
	uploadAge = 24 * time.Hour
	// doctorUploads is how many uploads are looked at, at most: a request's worth.
	doctorUploads = 1000
	// probeAge is how old the objects are of a probe that does not run any more: it takes seconds.
	probeAge = time.Hour
)

// lookAtStore gathers what matters of a store.
func lookAtStore(ctx context.Context, s *stack) (f storeFacts) {
	f.endpoint, _ = s.client.Using()
	f.lota = s.client.UsesLota()
	f.reached, f.reachErr = s.client.Reach(ctx)
	f.credential, f.credentialErr = s.client.Credential(ctx)
	if f.reachErr == nil && f.credential.KeyID != "" {
		_, err := s.client.Buckets(ctx) // who may not list them is known all the same
		if errors.Is(err, objstore.ErrCredentials) && answered(err) {
			f.refused = err
		}
	}
	return f
}

// lookAtBucket gathers what matters of a bucket, of which only what is below prefix need be allowed.
func lookAtBucket(ctx context.Context, s *stack, name, prefix string) (f bucketFacts) {
	f.name, f.layout = name, s.layout.options
	b, err := s.client.BucketBelow(ctx, name, s.layout.allowed(prefix))
	if f.err = err; err != nil {
		return f
	}
	f.region, f.virtual = b.Region(), b.VirtualHosted()
	for page, err := range b.List(ctx, objstore.ListOptions{Prefix: s.layout.allowed(prefix), PageSize: 3}) {
		f.err = err
		f.hashed = hashed.LooksHashed(page.Entries)
		break
	}
	f.uploads, f.oldest = forgotten(ctx, b, prefix, time.Now())
	if prefix == "" {
		f.probes = leftOfProbes(ctx, b, time.Now())
	}
	return f
}

// leftOfProbes counts what probes have left, a page of it at the most. Where it cannot be listed there is nothing to be
// told of.
func leftOfProbes(ctx context.Context, b objstore.Bucket, now time.Time) (n int) {
	for page, err := range b.List(ctx, objstore.ListOptions{Prefix: probe.Prefix}) {
		for _, e := range page.Entries {
			if err == nil && now.Sub(e.ModTime) > probeAge {
				n++
			}
		}
		break
	}
	return n
}

// forgotten counts old uploads. Where they cannot be listed there are none to be told of.
func forgotten(ctx context.Context, b objstore.Bucket, prefix string, now time.Time) (n int, oldest time.Time) {
	seen := 0
	for u, err := range b.ListUploads(ctx, prefix) {
		if seen++; err != nil || seen > doctorUploads {
			break
		}
		if now.Sub(u.Initiated) <= uploadAge {
			continue
		}
		if n++; n == 1 || u.Initiated.Before(oldest) {
			oldest = u.Initiated
		}
	}
	return n, oldest
}

// judgeStore says what is to be thought of a store.
func judgeStore(f storeFacts, now time.Time) []finding {
	all := []finding{judgeEndpoint(f)}
	if f.reachErr == nil {
		all = append(all, judgeClock(f))
	}
	return append(all, judgeCredential(f, now))
}

// judgeBucket says what is to be thought of a bucket.
func judgeBucket(s storeFacts, f bucketFacts) []finding {
	if f.err != nil {
		explained := explainStore(f.err, f.name, storeOptions{endpoint: s.endpoint})
		return []finding{{"bucket", mistaken, explained.Error(), ""}}
	}
	all := []finding{{"bucket", fine, fmt.Sprintf("%s can be listed; its region is %s", f.name, f.region), ""}, judgeAddressing(s, f)}
	if f.hashed && !f.layout.hashed() {
		all = append(all, finding{"key layout", warned, fmt.Sprintf("the keys of bucket %s look hashed", f.name), "mount it with --key-layout hashed"})
	}
	if f.probes > 0 {
		all = append(all, finding{
			"probes", noted, fmt.Sprintf("%d objects in bucket %s are of a probe that was killed", f.probes, f.name),
			fmt.Sprintf("see `aws s3 ls s3://%s/%s`, and remove them", f.name, probe.Prefix),
		})
	}
	if f.uploads > 0 {
		all = append(all, finding{
			"uploads", noted, fmt.Sprintf("%d multipart uploads in bucket %s are under way for more than a day, the oldest since %s", f.uploads, f.name, f.oldest.Local().Format(time.DateTime)),
			"they never expire: run again what was killed, and see `aws s3api list-multipart-uploads` and `abort-multipart-upload`",
		})
	}
	return all
}

func judgeEndpoint(f storeFacts) finding {
	where := f.endpoint
	if where == "" {
		where = "AWS"
	}
	if f.reachErr != nil {
		return finding{"endpoint", mistaken, fmt.Sprintf("%s cannot be reached (%s)", where, storeReason(f.reachErr)), "check --endpoint and the network"}
	}
	what := ""
	if f.lota {
		what = ", CoreWeave's node cache,"
	}
	found := finding{"endpoint", fine, fmt.Sprintf("%s%s answers in %s", where, what, f.reached.Took.Round(100*time.Microsecond)), ""}
	if u, err := url.Parse(where); err == nil && strings.HasSuffix(u.Hostname(), "cwobject.com") {
		found.Severity, found.Advice = noted, "inside a cluster, --endpoint auto takes LOTA"
	}
	return found
}

// clockBound is how far a clock may be off: stores refuse signatures of another quarter of an hour, and their Date has
// whole seconds.
const clockBound = 5 * time.Minute

func judgeClock(f storeFacts) finding {
	if !f.reached.HasDate {
		return finding{"clock", noted, "the store does not tell its time", ""}
	}
	off := f.reached.Clock.Round(time.Second)
	switch {
	case off.Abs() > 3*clockBound:
		return finding{"clock", mistaken, fmt.Sprintf("this machine's clock and the store's are %s apart", off.Abs()), "set the clock: `timedatectl set-ntp true`"}
	case off.Abs() > clockBound:
		return finding{"clock", warned, fmt.Sprintf("this machine's clock and the store's are %s apart", off.Abs()), "set the clock: `timedatectl set-ntp true`; 15 minutes are refused"}
	}
	return finding{"clock", fine, fmt.Sprintf("this machine's clock and the store's are within %s", max(off.Abs(), time.Second)), ""}
}

func judgeCredential(f storeFacts, now time.Time) finding {
	c := f.credential
	switch {
	case f.credentialErr != nil:
		return finding{"credentials", mistaken, "there are none: " + storeReason(f.credentialErr), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a --profile"}
	case c.KeyID == "":
		return finding{"credentials", fine, "requests are not signed (--no-sign-request)", ""}
	case f.refused != nil:
		return finding{"credentials", mistaken, fmt.Sprintf("%s is refused by the store (%s)", accessKeyOf(c), storeReason(f.refused)), "check the access key and its secret, and whether they were revoked or have expired"}
	case c.Expires.IsZero():
		return finding{"credentials", fine, fmt.Sprintf("%s, which does not expire", accessKeyOf(c)), ""}
	case c.Expires.Before(now):
		return finding{"credentials", mistaken, fmt.Sprintf("%s has expired on %s", accessKeyOf(c), c.Expires.Format(time.DateTime)), "renew it"}
	}
	return finding{"credentials", fine, fmt.Sprintf("%s, until %s", accessKeyOf(c), c.Expires.Format(time.DateTime)), ""}
}

// accessKeyOf names an access key, where it comes from, and for whom.
func accessKeyOf(c s3store.CredentialFacts) string {
	name := fmt.Sprintf("access key %s of %s", shortened(c.KeyID), c.Source)
	if c.Whose != "" {
		name += " (" + c.Whose + ")"
	}
	return name
}

// shortened is enough of a key's id to tell it from others.
func shortened(id string) string {
	if len(id) <= 8 {
		return id
	}
	return id[:4] + "..." + id[len(id)-4:]
}

func judgeAddressing(s storeFacts, f bucketFacts) finding {
	if f.virtual {
		return finding{"addressing", fine, fmt.Sprintf("bucket %s is in the host's name", f.name), ""}
	}
	if u, err := url.Parse(s.endpoint); err == nil && (strings.HasSuffix(u.Hostname(), "cwobject.com") || strings.HasSuffix(u.Hostname(), "cwlota.com")) {
		return finding{"addressing", mistaken, fmt.Sprintf("bucket %s is in the path, which CoreWeave refuses", f.name), "leave --path-style out, and addressing_style of the profile"}
	}
	return finding{"addressing", fine, fmt.Sprintf("bucket %s is in the path", f.name), ""}
}

// errNoProbe says that nobody has probed yet.
var errNoProbe = errors.New("not probed")
