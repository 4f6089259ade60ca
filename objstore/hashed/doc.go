// Package hashed puts the keys of a bucket under prefixes of their hashes, as CoreWeave's documentation advises for
// keys that would otherwise ascend: the object of key k is stored as md5hex(k)[:6]/k. Requests then spread over the
// store's partitions. The form is exactly the documented one, so that objects written by anybody who keeps to it are
// found.
//
// A [Bucket] decorates any bucket: above it keys are plain, below it they are stored keys. What it costs is the order:
// keys of one directory lie apart, so no request lists a directory. Listings are answered from an index of all keys
// below the mounted prefix, which is made by 256 listings, one for each first two hex digits, and kept current by what
// is written through it and by being made again when it is older than its TTL.
//
// Parts: the form (key.go), a run of keys in little memory (segment.go), what has changed since (overlay.go), both
// together for one of the 256 prefixes (shard.go), all of them and their making (index.go, build.go), walking them in
// the order of plain keys (walk.go, list.go), the index as a file (save.go), the decorator (bucket.go, write.go), and
// finding out that a bucket is not all in this form (mixed.go).
package hashed
