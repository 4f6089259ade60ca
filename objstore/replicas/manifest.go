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
	// maxManifest is the size, in bytes, of the largest manifest that is read.
	maxManifest = 64 << 10
)

// Manifest says which copies an object has.
type Manifest struct {
	Key    string    `json:"key"`
	ETag   string    `json:"etag"` // of the content that was copied
	Size   int64     `json:"size"`
	Copies []Copy    `json:"copies"`
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

// valid makes sure that a manifest is of the key at which it was found, and names no keys but those of its copies: whoever may write manifests must not be able to have other objects be read.
func (m Manifest) valid(foundAt string) error {
	if ManifestKey(m.Key) != foundAt || m.ETag == "" || m.Size < 0 || len(m.Copies) > MaxCopies {
		return fmt.Errorf("%s is no manifest of copies", foundAt)
	}
	for _, c := range m.Copies {
		if rest, ok := strings.CutSuffix(c.Key, "/"+m.Key); !ok || !strings.Contains(rest, "/"+Prefix) || c.ETag == "" {
			return fmt.Errorf("%s names a copy %q, which is none", foundAt, c.Key)
		}
	}
	return nil
}

// load reads a manifest; ErrNotExist when there is none.
func load(ctx context.Context, b objstore.Bucket, e objstore.Entry) (m Manifest, err error) {
	if e.Size > maxManifest {
		return m, fmt.Errorf("%s is no manifest of copies: it has %d bytes", e.Key, e.Size)
	}
	body, err := b.Open(ctx, objstore.VersionOf(b, e), objstore.Range{Len: e.Size})
	if err != nil {
		return m, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, errors.Join(err, m.valid(e.Key))
}

// store writes a manifest in place of the one that was found, or where there was none.
func (m Manifest) store(ctx context.Context, b objstore.Bucket, found objstore.Entry) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	cond := objstore.Condition{IfMatch: found.ETag, IfNew: found.ETag == ""}
	put := func(cond objstore.Condition) error {
		_, err := b.Put(ctx, ManifestKey(m.Key), strings.NewReader(string(text)), int64(len(text)), cond, objstore.Attributes{ContentType: "application/json"})
		return err
	}
	if err = put(cond); errors.Is(err, objstore.ErrUnsupported) {
		err = put(objstore.Condition{})
	}
	return err
}
