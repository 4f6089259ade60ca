package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// object is one that a command is to do something with.
type object struct {
	bucket objstore.Bucket // through the gate
	objstore.Entry
}

// name is the object as a user would write it.
func (o object) name() string { return sourceScheme + o.bucket.Name() + "/" + o.Key }

// version is what was found.
func (o object) version() objstore.Version {
	return objstore.Version{Endpoint: o.bucket.Endpoint(), Bucket: o.bucket.Name(), Key: o.Key, ETag: o.ETag, Size: o.Size}
}

// stores finds the objects that users name, by files and directories of mounts or by s3://BUCKET/KEY, and has the
// stores open that they are in. It talks to a store directly; of a mount it only asks which store that is. Several may
// find objects at the same time.
type stores struct {
	given storeOptions
	class objstore.Class // of all requests that find objects

	opening chan struct{} // has one place, taken by who opens a store or a bucket: the others want the same one mostly
	open    map[reach]*reached
}

// reached is a store that is open.
type reached struct {
	stack  *stack
	opened openedBuckets
	store  storeOptions
}

func newStores(given storeOptions) *stores {
	return &stores{given: given, class: objstore.ClassWarm, opening: make(chan struct{}, 1), open: make(map[reach]*reached)}
}

func (s *stores) close() {
	for _, r := range s.open {
		_ = r.stack.close() // nothing waits in it
	}
}

// buckets are those that are open.
func (s *stores) buckets() (all []objstore.Bucket) {
	for _, r := range s.open {
		all = append(all, r.opened.all()...)
	}
	return all
}

// bucket opens a bucket of the store that r reaches; prefix is what has to be allowed to be listed.
func (s *stores) bucket(ctx context.Context, r reach, name, prefix string) (objstore.Bucket, error) {
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.Source = ""
	to := s.open[r]
	if to == nil {
		to = &reached{store: r.under(s.given)}
		var err error
		if to.stack, err = openStore(ctx, to.store, slog.New(slog.DiscardHandler)); err != nil {
			return nil, explainStore(err, name, to.store)
		}
		s.open[r] = to
	}
	if to.store.layout.hashed() {
		prefix = "" // one index for all that is named
	}
	b, err := to.opened.open(ctx, to.stack, name, prefix)
	return b, explainStore(err, name, to.store)
}

// place is where an argument points: to one key or to all below a prefix; "" is the whole bucket.
type place struct {
	bucket objstore.Bucket
	key    string
}

// place finds out what an argument means, without asking for the object.
func (s *stores) place(ctx context.Context, arg string) (place, error) {
	if strings.HasPrefix(arg, sourceScheme) {
		name, key, _ := strings.Cut(strings.TrimPrefix(arg, sourceScheme), "/")
		if name == "" {
			return place{}, usage("%q names no bucket: write it as s3://BUCKET/PREFIX", arg)
		}
		b, err := s.bucket(ctx, reach{}, name, key)
		return place{b, key}, err
	}
	path, err := resolvePath(arg)
	if err != nil {
		return place{}, err
	}
	r, below, err := mountOf(path)
	if err != nil {
		return place{}, err
	}
	src, err := parseSource(r.Source)
	if err != nil {
		return place{}, err
	}
	if src.all() {
		if src.bucket, _, _ = strings.Cut(below, "/"); src.bucket == "" {
			return place{}, usage("%s shows all buckets: name one of its directories", arg)
		}
	}
	key, err := keyOf(path)
	if err != nil {
		return place{}, err
	}
	b, err := s.bucket(ctx, r, src.bucket, src.prefix)
	return place{b, key}, err
}

// resolvePath is the absolute path of what is there, past links.
func resolvePath(arg string) (string, error) {
	path, err := filepath.Abs(arg)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// keyOf asks a mount for the key of a file, or for the prefix of a directory.
func keyOf(path string) (string, error) {
	buffer := make([]byte, 2<<10) // keys have 1,024 bytes at most
	n, err := unix.Getxattr(path, "user.s3.key", buffer)
	if err != nil {
		return "", fmt.Errorf("%s: no object is behind it: %w", path, err)
	}
	return string(buffer[:n]), nil
}

// find calls each for the objects that arg names: the one of that key, and those below it.
func (s *stores) find(ctx context.Context, arg string, each func(object) error) error {
	at, err := s.place(ctx, arg)
	if err != nil {
		return err
	}
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(s.class))
	found, prefix := false, at.key
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
		e, err := at.bucket.Stat(ctx, at.key)
		if err == nil {
			found = true
			err = each(object{at.bucket, e})
		}
		if err != nil && !errors.Is(err, objstore.ErrNotExist) {
			return fmt.Errorf("%s: %w", arg, err)
		}
		if indexed, ok := at.bucket.(objstore.Indexed); ok && found && !indexed.IndexReady() {
			return nil // to find out that nothing is below a file, all keys would have to be listed
		}
	}
	for page, err := range at.bucket.List(ctx, objstore.ListOptions{Prefix: prefix}) {
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		for _, e := range page.Entries {
			found = true
			if strings.HasSuffix(e.Key, "/") { // the marker of a directory
				continue
			}
			if err := each(object{at.bucket, e}); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("%s: %w", arg, objstore.ErrNotExist)
	}
	return nil
}

// each is find for all that args name: what cannot be found is a failure of its own, and the rest goes on. Its error is
// of the command as a whole.
func (s *stores) each(ctx context.Context, args []string, stdin io.Reader, failures *failures, each func(object) error) error {
	return arguments(args, stdin, func(arg string) error { return s.eachBelow(ctx, arg, failures, each) })
}

func (s *stores) eachBelow(ctx context.Context, arg string, failures *failures, each func(object) error) error {
	err := s.find(ctx, arg, each)
	if ctx.Err() != nil {
		return nil // which is told at the end
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	failures.add(err)
	return nil
}

// arguments calls each for the arguments themselves, with patterns that the shell has left alone in place of their
// matches, and with the lines of standard input in place of "-".
func arguments(args []string, stdin io.Reader, each func(arg string) error) error {
	for _, arg := range args {
		if arg != "-" {
			for _, a := range expand(arg) {
				if err := each(a); err != nil {
					return err
				}
			}
			continue
		}
		if err := eachLine(stdin, each); err != nil {
			return err
		}
	}
	return nil
}

// eachLine calls each for the lines of a list, less those that are empty.
func eachLine(from io.Reader, each func(arg string) error) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if lines.Text() != "" {
			if err := each(lines.Text()); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fail(exitFailure, err, "cannot read the list: %v", err)
	}
	return nil
}

// expand takes a name as it is if there is such a thing, and else as a pattern.
func expand(arg string) []string {
	if strings.HasPrefix(arg, sourceScheme) {
		return []string{arg}
	}
	if _, err := os.Lstat(arg); errors.Is(err, os.ErrNotExist) {
		if found, err := filepath.Glob(arg); err == nil && len(found) > 0 {
			return found
		}
	}
	return []string{arg}
}
