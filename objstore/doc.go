// Package objstore is the vocabulary every layer of headrace shares for talking about an object store, and the
// decorators that make an unreliable one usable.
//
// What it relies on: a store speaks in immutable versions. A [Version] names one content of one key by its ETag and
// size, so bytes of a version may be cached for ever, and a request that names a version either gets its bytes or
// fails with [ErrChanged]; nothing in between exists.
//
// Its parts:
//
//   - [Version], [Entry], [Range]: what is named, what a listing tells, which bytes are meant.
//   - Interfaces of one to three methods ([Statter], [Lister], [Opener], ...), and [Bucket], their sum. Powers that not
//     every store has ([Renamer], [VersionDeleter], [Tagger], [Prestager]) stay out of the sum: use [AsRenamer] and its
//     like.
//   - A closed set of error sentinels, wrapped once by [*Error], which says operation, key, status and request id.
//   - [Ticket], which carries a request's [Class] down to the gate and lets it be raised while it waits.
//   - Decorators, always composed as retry(hedger(gate(meter(store)))): see [NewRetry], [Hedger], [Gate], [Meter].
//     Retry is outermost so that a request that sleeps between attempts holds no slot; the hedger is around the gate so
//     that its second requests need slots; the meter is innermost so that it counts whatever is sent. Hedger, gate and
//     meter are one a daemon, over all its buckets.
//   - [Router], which finds the bucket of a version.
//
// What it must not know: files, inodes, errno, blocks, FUSE. Stores live in the packages below it: s3store, memstore,
// and faultstore, which breaks a store on purpose. Package objstoretest is the conformance suite all of them pass.
package objstore
