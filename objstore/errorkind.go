package objstore

import (
	"context"
	"errors"
)

// ErrorKind is an error reduced to what can be counted: which sentinel it is.
type ErrorKind int

// The kinds, one for each sentinel and three for what is none.
const (
	KindNone ErrorKind = iota
	KindNotExist
	KindNoBucket
	KindPermission
	KindCredentials
	KindClockSkew
	KindArchived
	KindKeyNeeded
	KindChanged
	KindExists
	KindConflict
	KindThrottled
	KindTimeout
	KindQuota
	KindInvalid
	KindUnsupported
	KindCorrupt
	KindCanceled  // the context ended
	KindTransport // no answer, a broken one, or one without a sentinel
	NumErrorKinds = int(KindTransport) + 1
)

// String is the kind as it stands in metrics.
func (k ErrorKind) String() string {
	if k < 0 || int(k) >= NumErrorKinds {
		return "unknown"
	}
	return [NumErrorKinds]string{
		"none", "not_exist", "no_bucket", "permission", "credentials", "clock_skew", "archived", "key_needed", "changed", "exists",
		"conflict", "throttled", "timeout", "quota", "invalid", "unsupported", "corrupt", "canceled", "transport",
	}[k]
}

// KindOf finds the kind of err; the finer sentinel where one belongs to a broader one.
func KindOf(err error) ErrorKind {
	if err == nil {
		return KindNone
	}
	sentinels := [...]struct {
		err  error
		kind ErrorKind
	}{
		{ErrNoBucket, KindNoBucket},
		{ErrNotExist, KindNotExist},
		{ErrCredentials, KindCredentials},
		{ErrClockSkew, KindClockSkew},
		{ErrArchived, KindArchived},
		{ErrKeyNeeded, KindKeyNeeded},
		{ErrPermission, KindPermission},
		{ErrChanged, KindChanged},
		{ErrExists, KindExists},
		{ErrConflict, KindConflict},
		{ErrThrottled, KindThrottled},
		{ErrTimeout, KindTimeout},
		{ErrQuota, KindQuota},
		{ErrInvalid, KindInvalid},
		{ErrUnsupported, KindUnsupported},
		{ErrCorrupt, KindCorrupt},
		{context.Canceled, KindCanceled},
		{context.DeadlineExceeded, KindCanceled},
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.kind
		}
	}
	return KindTransport
}
