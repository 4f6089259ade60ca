package fs

import "fmt"

// Keeping is how it goes with keeping a version on the local disk, in bytes.
type Keeping struct {
	OnDisk  int64 // of the version
	Refused int64 // of whatever is in memory: the disk had no time for them, and gets them again when it has, unless the memory is needed before
	Queued  int64 // of whatever is about to be written
}

// String is the value of the attribute.
func (k Keeping) String() string { return fmt.Sprintf("%d %d %d", k.OnDisk, k.Refused, k.Queued) }

// ParseKeeping is its inverse; false for what is none.
func ParseKeeping(value string) (k Keeping, ok bool) {
	n, err := fmt.Sscanf(value, "%d %d %d", &k.OnDisk, &k.Refused, &k.Queued)
	return k, err == nil && n == 3
}
