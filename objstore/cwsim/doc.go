// Package cwsim plays CoreWeave AI Object Storage and its node cache LOTA, for tests: nobody can test against the live
// service, and no other server has its rules.
//
// What it plays is what the store's documentation and its users' measurements say:
//   - two endpoints over one store, LOTA (plain HTTP) and the store itself (TLS), either of which can be taken away
//     ([Store.Down]);
//   - buckets in the host's name only; a path-style request is refused;
//   - buckets with zones as regions; a new one answers InvalidRegion for a time; writes to one whose home is elsewhere
//     take longer;
//   - a cost for each request, and for GETs, and for all other requests, what is done in a second depends on how many
//     there are at a time, up to hanging ([Model]);
//   - LOTA keeps objects of more than 4 MB once they were read or pre-staged (a HEAD with "Range: bytes=0-0"), and
//     answers faster for them; RenameObject takes what it holds along, other writes have it forget;
//   - requests that wait for as long as a test wants ([Store.Hold]);
//   - 503 SlowDown for key prefixes that too many requests are for; a share of GETs that stall; HEAD of a bare prefix
//     answering 400.
//
// Over memstore and s3front, a [Store] is an [net/http.Handler] that tells endpoints by the Host of a request. A
// [Server] listens: as an HTTP proxy, so that a program under test reaches the real names through HTTP_PROXY and
// HTTPS_PROXY without any name being looked up.
//
// Nothing outside of tests may import it.
package cwsim
