package bench

import (
	"fmt"
	"strings"
)

// causesShown bounds the causes that a LeftoverError keeps: two thousand objects mostly fail for one and the same.
const causesShown = 3

// LeftoverError says that objects of a run are still in the user's bucket, and how to remove them.
type LeftoverError struct {
	Endpoint, Bucket string
	Prefix           string // all of them are below it, and nothing else is
	Objects          int    // that could not be removed
	Err              error  // why; the first few causes, joined
}

func (e *LeftoverError) Error() string {
	where := fmt.Sprintf("s3://%s/%s", e.Bucket, e.Prefix)
	return fmt.Sprintf("bench: %d objects are left below %s: remove them with `aws s3 rm --recursive --endpoint-url %s %s` (%s)",
		e.Objects, where, e.Endpoint, where, strings.ReplaceAll(e.Err.Error(), "\n", "; "))
}

func (e *LeftoverError) Unwrap() error { return e.Err }
