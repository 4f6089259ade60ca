package upload

import (
	"context"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// A multipart upload whose creation was intended, and whose id nobody heard of, is looked for by its key and by when it
// was begun: the store's clock may be behind by clockBehind, and the request may have been tried, with the clock ahead,
// until intentWindow later.
const (
	clockBehind  = 5 * time.Second
	intentWindow = 90 * time.Second
)

// abortAgain is how long after it was aborted a multipart upload is looked for once more. A part that was on its way
// may bring it back, see AbortMultipartUpload in the S3 API.
const abortAgain = 3 * time.Second

// lookAgain aborts a multipart upload once more, a while after, if it is still there.
func (u *Uploads) lookAgain(b objstore.Bucket, key, id string) {
	u.start(func() {
		wait := time.NewTimer(abortAgain)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-u.life.Done():
			return
		}
		for one, err := range b.ListUploads(u.life, key) {
			if err == nil && one.ID == id {
				err = b.AbortUpload(u.life, key, id)
			}
			if err != nil {
				u.cfg.Log.Warn("a multipart upload may be left in the store", "bucket", b.Name(), "key", key, "id", id, "error", err)
				return
			}
		}
	})
}

// orphans removes multipart uploads that a dead mount has left. It never touches one that may be somebody else's.
type orphans struct {
	bucket objstore.Bucket
	known  func(id string) bool // some log below the staging root has it
}

// abort aborts a multipart upload of ours. settled: it is gone, or was never there; else its key and time fit none or
// several, and a person has to look.
func (o orphans) abort(ctx context.Context, m journal.Multipart) (settled bool, err error) {
	id := m.ID
	if id == "" {
		candidates, err := o.candidates(ctx, m)
		switch {
		case err != nil:
			return false, err
		case len(candidates) == 0:
			return true, nil
		case len(candidates) > 1:
			return false, nil
		}
		id = candidates[0]
	}
	return true, o.bucket.AbortUpload(ctx, m.Key, id)
}

// candidates are the multipart uploads that m may have become.
func (o orphans) candidates(ctx context.Context, m journal.Multipart) ([]string, error) {
	var ids []string
	for u, err := range o.bucket.ListUploads(ctx, m.Key) {
		if err != nil {
			return nil, err
		}
		after := u.Initiated.Sub(m.Initiated)
		if u.Key == m.Key && after >= -clockBehind && after <= intentWindow && !o.known(u.ID) {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}
