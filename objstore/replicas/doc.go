// Package replicas keeps copies of hot objects under other keys, and spreads reads over them. One object lies in one
// partition of its store, and many nodes that read the same one at the same time wait for each other there; copies
// whose keys begin with other hashes lie elsewhere.
//
// Which copies there are is said by a manifest, an ordinary object of JSON in the bucket: of which content (ETag and
// size) they are copies, and the ETag of each. A reader uses a copy only for exactly that content, with If-Match on the
// copy's own ETag, and goes to the original when anything is wrong with a copy. So no copy that is old, damaged or gone
// can be read, and who writes over the original need not know of them.
//
// Parts: the manifest and the copies' keys (manifest.go), making and removing copies (copies.go), which manifests a
// bucket has (known.go), and the decorator that reads (bucket.go).
package replicas
