package objstore

import "time"

// AsRenamer finds the power to rename in b or in a store it decorates. The one found is the outermost that has it.
// Where the store knows that it has not, there is none: it is not asked for what it would not send, which would wait
// its turn, and be counted as a request.
func AsRenamer(b Bucket) (Renamer, bool) {
	if t, ok := find[RenameTeller](b); ok && !t.Renames() {
		return nil, false
	}
	return find[Renamer](b)
}

// AsVersionDeleter finds the power to remove under a condition in b or in a store it decorates.
func AsVersionDeleter(b Bucket) (VersionDeleter, bool) { return find[VersionDeleter](b) }

// AsTagger finds the power to tell tags in b or in a store it decorates.
func AsTagger(b Bucket) (Tagger, bool) { return find[Tagger](b) }

// AsPrestager finds the power to prestage in b or in a store it decorates.
func AsPrestager(b Bucket) (Prestager, bool) { return find[Prestager](b) }

// AsDistant finds the power to tell the latency of writes in b or in a store it decorates.
func AsDistant(b Bucket) (Distant, bool) { return find[Distant](b) }

// ReadFromCopy tells whether a GET of v in b, since a time, may have gone to a copy: then it has not confirmed that v's
// key still means v.
func ReadFromCopy(b Bucket, v Version, since time.Time) bool {
	s, ok := find[Spreader](b)
	return ok && s.ReadFromCopy(v, since)
}

// LongestKey is how many bytes a key of b has at most.
func LongestKey(b Bucket) int {
	if l, ok := find[KeyLimiter](b); ok {
		return l.MaxKey()
	}
	return MaxKey
}

func find[P any](b Bucket) (P, bool) {
	for b != nil {
		if p, ok := b.(P); ok {
			return p, true
		}
		u, ok := b.(Unwrapper)
		if !ok {
			break
		}
		b = u.Unwrap()
	}
	var none P
	return none, false
}
