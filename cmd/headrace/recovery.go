package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// recoveryPatience is for how long a mount waits, before it answers, for what dead mounts have left to be stored. What
// takes longer goes on afterwards.
const recoveryPatience = 20 * time.Second

// recoverUploads goes on with what dead mounts of the same source have left in the staging directory. What cannot be
// dealt with is told in the log, and stays.
func (s *stack) recoverUploads(ctx context.Context, buckets upload.Buckets) error {
	left, err := journal.Leftovers(filepath.Dir(s.staging.Path()), s.staging.Owner().SameSource)
	for _, dir := range left {
		err = errors.Join(err, s.staging.TakeOver(dir), dir.Close())
	}
	found, failed := s.uploads.Recover(ctx, buckets)
	if err = errors.Join(err, failed); err != nil {
		s.log.Warn("what an earlier mount has left could not all be dealt with: see `headrace uploads ls`", "error", err)
	}
	if found == (upload.Recovery{}) {
		return nil
	}
	s.log.Info("an earlier mount has left what it wrote", "storing", found.Storing, "moving", found.Moving, "kept", found.Kept, "removed", found.Removed)
	if found.Kept > 0 {
		s.log.Warn("files are kept that were written and never closed, or replaced by somebody else: see `headrace uploads ls`", "files", found.Kept)
	}
	waiting, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	if rest := s.uploads.Flush(waiting, nil); rest.Files+rest.Renames > 0 {
		s.log.Info("storing what an earlier mount has left goes on", "files", rest.Files, "bytes", rest.Bytes, "renames", rest.Renames)
	}
	return ctx.Err()
}

// only opens the one bucket that is mounted.
func only(b objstore.Bucket) upload.Buckets {
	return func(_ context.Context, name string) (objstore.Bucket, error) {
		if name != b.Name() {
			return nil, fmt.Errorf("bucket %s is not what is mounted: %w", name, objstore.ErrNotExist)
		}
		return b, nil
	}
}
