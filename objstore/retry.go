package objstore

import (
	"context"
	"io"
)

// retry is the decorator made by [NewRetry]. Reading streams is in retrybody.go and retrylist.go, conditional writes in
// retrywrite.go.
type retry struct {
	through
	policy RetryPolicy
}

// NewRetry makes a bucket that tries failed requests of inner again, by policy:
//
//   - A request fails for good with the first error that another attempt cannot cure, with the last error once the
//     budget is spent, and at once when its context ends.
//   - A body that breaks is resumed from the byte it reached, by another Open of the rest of the range of the same
//     version: so the bytes are those of one version, or there is an error.
//   - A listing that breaks goes on after the last name it yielded, as long as names came in byte order.
//   - A write is made again with its body rewound. When an earlier attempt may have been done without its answer
//     arriving, a refusal (exists, changed, no such upload) can be that attempt's own doing: the object is then looked
//     at, and the write has succeeded if it has the ETag and the size that the write gives it. That can be known where
//     the store's ETags are MD5 sums; with a store that encrypts with its own keys it cannot, and the refusal is
//     returned. Another client that wrote the same bytes at the same moment is taken for ourselves.
//   - CreateUpload may leave an upload behind whose id never arrived.
func NewRetry(inner Bucket, policy RetryPolicy) Bucket {
	r := &retry{policy: policy.withDefaults()}
	r.through = through{inner: inner, do: r.again}
	return r
}

// attempts begins the attempts at one request.
func (r *retry) attempts(op Op, key string) attempts {
	return attempts{
		policy: &r.policy, // its budget begins with the first failure: before that the request may have queued
		event:  RetryEvent{Op: op, Bucket: r.inner.Name(), Key: key},
	}
}

// again makes a request until it succeeds or attempts end.
func (r *retry) again(ctx context.Context, q request, call func(context.Context) error) error {
	a := r.attempts(q.op, q.key)
	return a.again(ctx, call)
}

// againWrite is again for a write that may turn out to have been done by an attempt whose answer was lost. settle is
// asked then whether it was; it returns the refusal if not or if that cannot be known.
func (r *retry) againWrite(ctx context.Context, q request, call func() error, settle func(refusal error) error) error {
	a := r.attempts(q.op, q.key)
	doubt := false
	for {
		err := call()
		if err == nil {
			return nil
		}
		if doubt && refused(err) {
			return settle(err)
		}
		doubt = doubt || mayHaveHappened(err)
		if err := a.wait(ctx, err); err != nil {
			return err
		}
	}
}

// rewinder returns a function that takes body back to where it is now.
func rewinder(body io.ReadSeeker) (rewind func() error, err error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := body.Seek(start, io.SeekStart)
		return err
	}, nil
}
