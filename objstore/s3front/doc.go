// Package s3front serves any [objstore.Bucket] over the S3 protocol, for tests.
//
// Real servers are the better proof, and the conformance suite runs on them; but each refuses keys that S3 allows
// ("a//b", ".", "a" beside "a/b", bytes that are not UTF-8), and none can be told to break an answer in the middle.
// Over memstore, this one takes every key, and a hook sees each request before it is served.
//
// It speaks as much of S3 as headrace uses: objects with ranges and conditions, listing in pages, multipart uploads,
// copies, path-style and virtual-hosted addresses. It does not check signatures, beyond saying in [Options] whether
// there must be one, and knows no bodies in chunks of their own ("aws-chunked"), which s3store does not send.
//
// Nothing outside of tests may import it.
package s3front
