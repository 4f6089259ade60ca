package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
)

// layoutOptions say how the keys of files are stored.
type layoutOptions struct {
	keys     choice
	indexTTL interval

	dir string // of saved indexes; "" for the user's cache directory
}

// defaultIndexTTL is how old a key index may be: its making costs 256 requests at least.
const defaultIndexTTL = interval(time.Minute)

func (o *layoutOptions) flags() []cli.Flag {
	o.keys, o.indexTTL = oneOf("plain", "hashed"), defaultIndexTTL
	return []cli.Flag{
		&cli.GenericFlag{
			Name: "key-layout", Category: storeGroup, EnvVars: environment("key-layout"), Value: &o.keys,
			Usage: "`HOW` keys are stored: plain, as they are; hashed, as md5hex(key)[:6]/key, which spreads them over the store's partitions",
		},
		&cli.GenericFlag{
			Name: "key-index-ttl", Category: storeGroup, EnvVars: environment("key-index-ttl"), Value: &o.indexTTL,
			Usage: "with hashed keys, directories may miss for this `DURATION` what others have written: they are listed from an index of all keys",
		},
	}
}

func (o layoutOptions) hashed() bool { return o.keys.String() == "hashed" }

// identity is what tells stores apart: keys of two layouts are no keys of one store.
func (o layoutOptions) identity(endpoint string) string {
	if o.hashed() {
		return endpoint + hashed.EndpointMark
	}
	return endpoint
}

// file is where an index is saved; "" where there is no place.
func (o layoutOptions) file(b objstore.Bucket, prefix string) string {
	dir := o.dir
	if dir == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, "headrace", "keys")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	name := sha256.Sum256([]byte(strings.Join([]string{b.Endpoint(), b.Name(), prefix}, "\x00")))
	return filepath.Join(dir, fmt.Sprintf("%x", name[:8]))
}

// layout puts the buckets of a stack into their layout. The zero value leaves them as they are.
type layout struct {
	options layoutOptions

	mu   sync.Mutex // guards open
	open []*hashed.Bucket
}

// wrap is b with plain keys, of which those below prefix are used.
func (l *layout) wrap(b objstore.Bucket, prefix string, log *slog.Logger) objstore.Bucket {
	if !l.options.hashed() {
		return b
	}
	h := hashed.New(b, hashed.Options{Prefix: prefix, TTL: time.Duration(l.options.indexTTL), File: l.options.file(b, prefix), Log: log})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, h)
	return h
}

// allowed is the prefix of stored keys that have to be listed to list a prefix of plain ones.
func (l *layout) allowed(prefix string) string {
	if l.options.hashed() {
		return ""
	}
	return prefix
}

// size is how many keys the indexes have, and the memory they take.
func (l *layout) size() (keys int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.open {
		k, b := h.Size()
		keys, bytes = keys+k, bytes+b
	}
	return keys, bytes
}

func (l *layout) close() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.open {
		err = errors.Join(err, h.Close())
	}
	return err
}

// looksDeadline is how long finding out may take that a bucket is hashed which is mounted as it is: nobody waits longer
// for advice.
const looksDeadline = 2 * time.Second

// advise tells who mounts a bucket as it is whose keys are hashed.
func (l *layout) advise(ctx context.Context, b objstore.Bucket, prefix string, log *slog.Logger) {
	if l.options.hashed() || prefix != "" {
		return
	}
	ctx, cancel := context.WithTimeout(objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassMetadata)), looksDeadline)
	defer cancel()
	for page, err := range b.List(ctx, objstore.ListOptions{PageSize: 3}) {
		if err == nil && hashed.LooksHashed(page.Entries) {
			log.Warn("the keys of this bucket look hashed, and are shown as they are stored: mount it with --key-layout hashed to see the names behind them",
				"bucket", b.Name(), "for example", page.Entries[0].Key)
		}
		return
	}
}
