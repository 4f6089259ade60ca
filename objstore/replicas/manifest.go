package replicas

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// Prefix is what the keys of manifests begin with.
	Prefix = ".headrace/replicas/"
	// MaxCopies is how many copies an object can have.
	MaxCopies = 64
	// maxManifest is the size, in bytes, of the largest manifest that is read: MaxCopies keys and ETags, with up to six
	// bytes in JSON for one of a key.
	maxManifest = 512 << 10
)

// Manifest says which copies an object has. It is written before the first of them is made and removed after the last
// is, so that none is left that no manifest tells of.
type Manifest struct {
	Key    string    `json:"key"`
	ETag   string    `json:"etag"` // of the content that was copied
	Size   int64     `json:"size"`
	Copies []Copy    `json:"copies"`          // that can be read: the first one, the second, and so on
	Begun  int       `json:"begun,omitempty"` // copies up to this number may be there, whole or not; 0 where all are in Copies
	Made   time.Time `json:"made"`
}

// Copy is one copy.
type Copy struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
}

// ManifestKey is where the manifest of a key is.
func ManifestKey(key string) string { return fmt.Sprintf("%s%x.json", Prefix, md5.Sum([]byte(key))) }

// CopyKey is where the n-th copy of a key is, from 1: under a hash of its own, in the form that hashed keys have.
func CopyKey(key string, n int) string {
	plain := fmt.Sprintf("%s%d/%s", Prefix, n, key)
	return fmt.Sprintf("%x", md5.Sum([]byte(plain)))[:6] + "/" + plain
}

// of tells whether the copies are of a version.
func (m Manifest) of(v objstore.Version) bool {
	return m.Key == v.Key && m.ETag == v.ETag && m.Size == v.Size
}

// most is the highest number of a copy that may be there.
func (m Manifest) most() int { return max(m.Begun, len(m.Copies)) }

// Own tells whether a key is of a manifest or of a copy.
func Own(key string) bool {
	const digits = 6
	return strings.HasPrefix(key, Prefix) || len(key) > digits && key[digits] == '/' && strings.HasPrefix(key[digits+1:], Prefix)
}

// errNoManifest is that what is there cannot be used as a manifest.
var errNoManifest = errors.New("no manifest of copies")

// valid makes sure that a manifest is of the key at which it was found, and names no keys but those of its copies:
// whoever may write manifests must not be able to have other objects be read.
func (m Manifest) valid(foundAt string) error {
	if ManifestKey(m.Key) != foundAt || m.ETag == "" || m.Size < 0 || len(m.Copies) > MaxCopies || m.Begun < 0 || m.Begun > MaxCopies {
		return errNoManifest
	}
	for i, c := range m.Copies {
		if c.Key != CopyKey(m.Key, i+1) || c.ETag == "" {
			return fmt.Errorf("%w: it names a copy %q, which is none", errNoManifest, c.Key)
		}
	}
	return nil
}

// load reads a manifest. errNoManifest when it is none.
func load(ctx context.Context, b objstore.Bucket, e objstore.Entry) (m Manifest, err error) {
	if e.Size <= 0 || e.Size > maxManifest {
		return m, fmt.Errorf("%s: %w: it has %d bytes", e.Key, errNoManifest, e.Size)
	}
	body, err := b.Open(ctx, objstore.VersionOf(b, e), objstore.Range{Len: e.Size})
	if err != nil {
		return m, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w: %w", e.Key, errNoManifest, err)
	}
	if err := m.valid(e.Key); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", e.Key, err)
	}
	return m, nil
}

// store writes a manifest in place of the one that was found, or where there was none, and says what is there now.
func (m Manifest) store(ctx context.Context, b objstore.Bucket, found objstore.Entry) (objstore.Entry, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return found, err
	}
	put := func(cond objstore.Condition) (objstore.Entry, error) {
		return b.Put(ctx, ManifestKey(m.Key), strings.NewReader(string(text)), int64(len(text)), cond, objstore.Attributes{ContentType: "application/json"})
	}
	now, err := put(objstore.Condition{IfMatch: found.ETag, IfNew: found.ETag == ""})
	if errors.Is(err, objstore.ErrUnsupported) {
		now, err = put(objstore.Condition{})
	}
	return now, err
}
