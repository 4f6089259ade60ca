// Package probe finds out what a store can do, by doing it to objects of its own: conditional writes, the store's own
// rename, copies of parts, ranges, the order of listings. Stores that speak S3 differ in these, and some say yes to
// what they ignore.
//
// It works on any [objstore.Bucket]. A mount never probes; `headrace doctor --probe` does. All it writes begins with
// [Prefix] and a random name, and is removed at the end, also when the caller gives up.
package probe
