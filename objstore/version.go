package objstore

import (
	"fmt"
	"time"
)

// Version names one immutable content of one key. It is comparable and meant as a map key.
type Version struct {
	// Endpoint identifies the store: two endpoints of one store (a node cache and its origin) have one identity.
	Endpoint string
	Bucket   string
	Key      string // bytes as the store has them; not necessarily UTF-8
	ETag     string // normalised by the store package: no quotes, no weak prefix; opaque to everybody else
	Size     int64  // in bytes
}

// String is for logs and errors.
func (v Version) String() string {
	return fmt.Sprintf("s3://%s/%s (etag %s, %d bytes)", v.Bucket, v.Key, v.ETag, v.Size)
}

// Entry is what a listing or a HEAD tells of one object.
type Entry struct {
	Key          string
	Size         int64 // in bytes
	ETag         string
	ModTime      time.Time // whole seconds: LIST and HEAD differ below that
	StorageClass string    // empty means STANDARD

	// Only Stat and Open fill these in.
	ContentType string
	Metadata    map[string]string // user metadata; keys in lower case, without "x-amz-meta-"
	Headers     map[string]string // those of [KeptHeaders] that it has, by name
	Tagged      bool              // it has tags, as far as the store says so: see [Tagger]
}

// VersionOf is the version that e describes in b.
func VersionOf(b Bucket, e Entry) Version {
	return Version{Endpoint: b.Endpoint(), Bucket: b.Name(), Key: e.Key, ETag: e.ETag, Size: e.Size}
}

// Range is a run of bytes: [Off, Off+Len).
type Range struct {
	Off int64
	Len int64
}

// End is the offset of the first byte after the range.
func (r Range) End() int64 { return r.Off + r.Len }

// Empty tells whether the range holds no byte.
func (r Range) Empty() bool { return r.Len <= 0 }

// Contains tells whether every byte of o is in r.
func (r Range) Contains(o Range) bool { return o.Off >= r.Off && o.End() <= r.End() }

// Overlaps tells whether r and o share a byte.
func (r Range) Overlaps(o Range) bool { return r.Off < o.End() && o.Off < r.End() }

// Intersect is what r and o share; it is empty when they share nothing.
func (r Range) Intersect(o Range) Range {
	off, end := max(r.Off, o.Off), min(r.End(), o.End())
	if end <= off {
		return Range{Off: off}
	}
	return Range{Off: off, Len: end - off}
}

// String is the range in the usual half-open notation.
func (r Range) String() string { return fmt.Sprintf("[%d,%d)", r.Off, r.End()) }
