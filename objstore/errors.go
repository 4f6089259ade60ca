package objstore

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The closed set of errors. A store wraps exactly one of them in an [*Error]; callers tell them apart with errors.Is
// and never by text. An error that is none of these (a refused connection, a 500) is a failure of the transport or of
// the server: retried, and at last EIO. A context's error is passed on as it is.
var (
	ErrNotExist    = errors.New("no such object")
	ErrNoBucket    = errors.New("no such bucket") // also matches ErrNotExist
	ErrPermission  = errors.New("access denied")
	ErrCredentials = errors.New("credentials missing or refused")          // also matches ErrPermission
	ErrClockSkew   = errors.New("clock differs too much from the store's") // also matches ErrPermission
	ErrArchived    = errors.New("object is archived")                      // also matches ErrPermission
	ErrKeyNeeded   = errors.New("needs a key that is not sent (SSE-C)")    // also matches ErrPermission
	ErrChanged     = errors.New("object changed")                          // If-Match failed: the version is gone
	ErrExists      = errors.New("object exists")                           // If-None-Match failed
	ErrConflict    = errors.New("conflicting operation in progress")       // 409: retried
	ErrThrottled   = errors.New("throttled")                               // 503 SlowDown, 429: retried
	ErrTimeout     = errors.New("timed out")                               // no byte moved for too long: retried
	ErrQuota       = errors.New("quota exceeded")
	ErrInvalid     = errors.New("invalid argument")
	ErrUnsupported = errors.New("not supported by the store")
	ErrCorrupt     = errors.New("corrupt data")
)

// Error says which operation on which key failed, and how. It is made once, where the store's answer is read.
type Error struct {
	Op         string // the S3 operation: "GetObject", "ListObjectsV2", ...
	Bucket     string
	Key        string
	Status     int    // HTTP status; 0 when there was no answer
	Code       string // the store's error code, e.g. "SlowDown"
	RequestID  string
	RetryAfter time.Duration // what the store asked for; 0 when it did not
	Err        error         // a sentinel of this package, or the cause where none fits
}

// Error is one line for a log: operation, object, cause, and what the store's support would ask for.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s s3://%s/%s: %v", e.Op, e.Bucket, e.Key, e.Err)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d", e.Status)
		if e.Code != "" {
			fmt.Fprintf(&b, " %s", e.Code)
		}
		if e.RequestID != "" {
			fmt.Fprintf(&b, ", request %s", e.RequestID)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap gives the sentinel or the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is lets the finer sentinels match the broader one they belong to.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotExist:
		return errors.Is(e.Err, ErrNoBucket)
	case ErrPermission:
		return errors.Is(e.Err, ErrCredentials) || errors.Is(e.Err, ErrClockSkew) || errors.Is(e.Err, ErrArchived) || errors.Is(e.Err, ErrKeyNeeded)
	}
	return false
}
