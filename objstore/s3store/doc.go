// Package s3store speaks to S3 and the stores compatible with it: it makes an [objstore.Bucket] of a bucket there.
//
// It relies on aws-sdk-go-v2 for what differs from user to user and from store to store: the configuration files, the
// chain of credentials with its renewals, the rules by which endpoints are found, and signatures. Nothing above this
// package knows that SDK. What it promises is the contract of objstore: one attempt a call (the retry decorator is
// above), errors of the closed set, bytes of the version asked for or an error.
//
// # Two ways to send a request
//
// Writes and multipart uploads go through the SDK's operations. GET, HEAD and LIST, which a mount sends by the
// thousand, are built here, signed with the SDK's signer and sent by the same pool of connections, because the SDK's
// middleware costs more than the request. Measured against versitygw on loopback, CPU of this process alone (go test
// -bench Get):
//
//	a GET of 4 KiB       Open 0.29 ms, the SDK's GetObject 0.48 ms, a bare signed GET 0.30 ms; 132 against 492 allocations
//	GETs of 16 MiB       0.37 s a GiB either way, of which the kernel's copy out of the socket is nearly all
//
// Of the 0.29 ms, what this package adds to net/http is 14 microseconds, of which the signature is 8. A page of a
// listing is read by a scanner of its own, five times as fast as encoding/xml and twenty times as fast as the SDK (go
// test -bench ParseListing); it hands anything unusual to encoding/xml, and a fuzz test holds one against the other.
//
// Its parts:
//
//   - [Client] (client.go, config.go, credentials.go): one store, one credential, one pool. A credential that is
//     refused is read anew from its source, and what was refused is sent again once (resend.go), as is what was
//     redirected.
//   - [Bucket] (bucket.go and a file for each kind of request: open.go, stat.go, list.go, put.go, multipart.go).
//   - endpoint.go: where a bucket and its keys are. Keys are escaped, never cleaned.
//   - transport.go: the pool. HTTP/1.1, one request a connection, no compression. Reads larger than a connection's
//     buffer of 4 KiB go from the socket straight into the caller's memory. Socket buffers are left to the kernel,
//     which sizes them by the connection's bandwidth and delay where a fixed size would be capped at net.core.rmem_max
//     (208 KiB). Raising SO_RCVLOWAT for large reads was tried and saved less than a tenth of the CPU: too little for
//     what a wrong value can do.
//   - watchdog.go: the progress deadline. There is no deadline for a request as a whole.
//   - errors.go: from statuses and codes to sentinels; credentialerror.go: what a source of credentials answered;
//     document.go: a refusal, or a page of some other server, where a listing was asked for.
//
// # Limits
//
// Directory buckets of S3 Express and multi-region access points sign in other ways and are refused (ErrUnsupported).
// Uploads are checked by the store against a SHA-256 over plain HTTP, for which the SDK reads a body twice, and rely on
// TLS otherwise. A clock that is off is an error (ErrClockSkew) and not corrected for. Nothing is logged of
// credentials, signatures or headers.
package s3store
