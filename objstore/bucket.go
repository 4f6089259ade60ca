package objstore

import (
	"context"
	"io"
	"iter"
	"time"
)

// Bucket is one bucket of a store, with the powers every S3-compatible store has.
//
// All methods may be called at the same time from many goroutines. All block until the store has answered, the context
// ends, or no byte has moved for the store's progress deadline. Errors are [*Error].
type Bucket interface {
	// Name is the bucket's name and Endpoint the store's identity, as both stand in a [Version].
	Name() string
	Endpoint() string

	Statter
	Lister
	Opener
	Putter
	Multipart
	Copier
	Deleter
}

// Statter asks for one object by its exact key.
type Statter interface {
	// Stat returns what HEAD tells. ErrNotExist when there is no such object; a key that ends in "/" is a key as any
	// other.
	Stat(ctx context.Context, key string) (Entry, error)
}

// ListOptions says what to list.
type ListOptions struct {
	Prefix     string
	Delimiter  string // "" for everything below the prefix, "/" for one level
	StartAfter string // only keys after this one, in byte order
	PageSize   int    // at most so many entries and prefixes a page; 0 means the store's own maximum (1000)
}

// Page is one page of a listing. Entries and Prefixes are each in the order the store gave them.
type Page struct {
	Entries  []Entry
	Prefixes []string // common prefixes, delimiter included
	Last     bool     // the store said that nothing follows; where it is not known, false

	// AsOf is when it was so, for what does not come from the store itself: see [Indexed]. Zero is when the page was asked
	// for, or later.
	AsOf time.Time
}

// Lister lists keys.
type Lister interface {
	// List yields pages in order until the listing ends. A failed request yields one error, and then the iteration is
	// over; pages yielded before it are right. A prefix with nothing below it yields pages without content, and no error.
	// Keys ascend in byte order on AWS and most stores, but not on all: a caller that depends on it checks.
	List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error]
}

// Opener reads bytes of a version.
type Opener interface {
	// Open starts reading r of v and returns once the store's headers are here and say that they are of v. Every request
	// carries If-Match: ErrChanged when the key has another content now, ErrNotExist when it has none. The range must lie
	// within the version and not be empty (ErrInvalid). The body yields exactly r.Len bytes and then io.EOF, or an error;
	// a body that ends early yields io.ErrUnexpectedEOF, never a plain EOF. The caller closes the body; closing it early
	// ends the request.
	Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error)
}

// Condition restricts a write. At most one field is set; the zero value writes whatever is there.
type Condition struct {
	IfMatch string // only over this ETag (normalised): else ErrChanged
	IfNew   bool   // only if the key does not exist: else ErrExists
}

// Attributes go along with an object when it is written.
type Attributes struct {
	ContentType  string
	Metadata     map[string]string
	StorageClass string
	Tags         string            // as in a query: "a=1&b=2", escaped
	Headers      map[string]string `json:",omitempty"` // those of [KeptHeaders] that it has, by name

	// Copies says of a multipart upload that parts of it will be copied: then it has no checksum of the whole, which not
	// all stores can make of copies.
	Copies bool
}

// Putter stores a whole object with one request.
type Putter interface {
	// Put stores size bytes of body under key and returns the new entry (Key, Size, ETag; ModTime where the store tells
	// it). The body is read at most once an attempt and rewound by Seek between attempts.
	Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond Condition, attrs Attributes) (Entry, error)
}

// Part is one stored part of a multipart upload.
type Part struct {
	Number   int // from 1
	ETag     string
	Size     int64
	Checksum string `json:",omitempty"` // as the store that made the part writes it; goes back to it at CompleteUpload
}

// Upload is a multipart upload under way, as the store lists it.
type Upload struct {
	Key       string
	ID        string
	Initiated time.Time
}

// Multipart stores an object in parts. The object appears whole at Complete, and not before.
type Multipart interface {
	CreateUpload(ctx context.Context, key string, attrs Attributes) (uploadID string, err error)
	UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (Part, error)
	// CopyPart makes a part from a range of a stored version of the same bucket; ErrChanged when src is gone.
	CopyPart(ctx context.Context, key, uploadID string, number int, src Version, r Range) (Part, error)
	CompleteUpload(ctx context.Context, key, uploadID string, parts []Part, cond Condition) (Entry, error)
	// AbortUpload is not an error when the upload is not there any more.
	AbortUpload(ctx context.Context, key, uploadID string) error
	// ListUploads yields the uploads under way below prefix.
	ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error]
}

// Copier copies inside the bucket, on the store's side, up to 5 GiB.
type Copier interface {
	// Copy stores src under key, metadata included; ErrChanged when src is gone.
	Copy(ctx context.Context, key string, src Version, cond Condition) (Entry, error)
	// CopyWith is Copy with other content type, headers, metadata and storage class than src has: those of attrs. Its tags
	// go along as they are. key may be src's own.
	CopyWith(ctx context.Context, key string, src Version, cond Condition, attrs Attributes) (Entry, error)
}

// Deleter removes an object.
type Deleter interface {
	// Delete is not an error when there is no such object.
	Delete(ctx context.Context, key string) error
}

// VersionDeleter removes an object if it is still the one that is meant. Optional: see [AsVersionDeleter].
type VersionDeleter interface {
	// DeleteVersion is Delete of v's key while that holds v: ErrChanged when it holds another content. A store that
	// refuses such a condition answers ErrUnsupported; one that does not know of it ignores it, and nothing tells but a
	// probe.
	DeleteVersion(ctx context.Context, v Version) error
}

// Tagger tells an object's tags. Optional: see [AsTagger].
type Tagger interface {
	// Tags returns them as in [Attributes].
	Tags(ctx context.Context, key string) (string, error)
}

// Renamer moves an object atomically. Optional: see [AsRenamer].
type Renamer interface {
	// Rename moves src to key, metadata included. ErrUnsupported when the store cannot; ErrChanged when src is gone.
	Rename(ctx context.Context, key string, src Version, cond Condition) error
}

// RenameTeller is a [Renamer] that knows without a request whether it can. Optional.
type RenameTeller interface{ Renames() bool }

// Prestager asks a cache in front of the store to fetch an object. Optional: see [AsPrestager].
type Prestager interface {
	// Prestage returns once the request is taken, not once the object is there.
	Prestage(ctx context.Context, key string) error
}

// Indexed is a bucket whose listings come from an index of all its keys, which has to be made before the first one: to
// ask for single keys is far cheaper then. Optional.
type Indexed interface {
	// IndexReady tells whether the index is there, and young enough to be used. Then a listing asks the store for nothing,
	// and may be as old as the index: see Page.AsOf.
	IndexReady() bool
	// Has tells whether a key of the index begins with prefix, however old the index is; false where there is none. It
	// asks nothing, and waits for nobody.
	Has(prefix string) bool
}

// MaxKey is how many bytes a key has at most: S3's limit.
const MaxKey = 1024

// KeyLimiter is a bucket whose keys have to be shorter than MaxKey. Optional: see [LongestKey].
type KeyLimiter interface {
	// MaxKey is how many bytes a key has at most.
	MaxKey() int
}

// Distant tells how far away a bucket's home is. Optional: see [AsDistant].
type Distant interface {
	// WriteLatency is how long the store takes to answer a write that sends next to nothing; 0 while that is not known.
	WriteLatency() time.Duration
	// WritePatience is for how long a write may stand still, by that latency, before it fails with ErrTimeout.
	WritePatience() time.Duration
}

// Spreader is a bucket that also reads from copies under other keys. Such a GET brings the right bytes and says nothing
// of whether the key still means them. Optional: see [ReadFromCopy].
type Spreader interface {
	// ReadFromCopy tells whether a GET of v may have been answered by a copy that was sent at a time or later.
	ReadFromCopy(v Version, since time.Time) bool
}

// Unwrapper is what a decorator offers so that optional powers of the store below it can be found.
type Unwrapper interface{ Unwrap() Bucket }
