// Package fs answers the kernel: it shows the objects of a bucket, of a part of one, or of all buckets, as files in
// directories, over the FUSE protocol.
//
// What it relies on: package names says which key a name means and what a directory holds; package prefetch brings
// bytes of a version. This package decides which version a file is, what the kernel may remember and for how long, and
// which errno an error is. It knows nothing of S3, blocks, retries or flags.
//
// # Versions and node ids
//
// A node id stands for one version of one name, for as long as the kernel remembers it. Everything follows from that:
// what the kernel keeps of a node, its pages and its size, can never be of another version, so every open may keep the
// kernel's pages; an object that was replaced is a new node id with no pages; and an open that finds the name moved on
// answers ESTALE, upon which the kernel looks the name up again, gets the new node id and opens that, without the
// program noticing. Node ids are never used twice, and an unknown one gets ESTALE. st_ino is not the node id: it is
// computed from the key, so that it is the same in readdir, in stat, for every version and for every mount.
//
// # Writing
//
// The one node that goes from version to version is that of a file that is written here: the kernel's pages of it were
// written through it. While it has an upload its name means it, whatever the store says; see writing.go. Which close
// stores what was written is a rule of its own; see Flush.
//
// # Freshness
//
// What the store said less than the metadata TTL ago needs no asking, and the kernel is told to remember it for just
// the rest of that time. Older than that, looking a known file up costs nothing: it is answered as it was, for no time
// at all, and the question is put off to what comes next. If that is an open, the GET that brings a small object whole
// is the check, since it carries If-Match; if it is a stat, one HEAD is. See lookup.go and open.go.
//
// # Parts
//
//   - mount.go, device.go, fusermount.go, unmount.go, readahead.go: getting a mount and getting rid of it.
//   - fs.go, node.go, nodetable.go, pruner.go, handles.go, volumes.go, secondtry.go: what is known between requests.
//   - lookup.go, attr.go, open.go, read.go, close.go, readdir.go, place.go, xattr.go, statfs.go: the requests that
//     change nothing.
//   - create.go, write.go, remove.go, directory.go, rename.go: those that do. caller.go: who may.
//   - writing.go, writers.go, given.go, nodehold.go: what is known of a file that is being written.
//   - locks.go, locktable.go: flock and fcntl locks, answered here, per path.
//   - errno.go: the one table from errors to errno. request.go: contexts that end when the caller is killed.
//
// # Limits
//
// Modes, owners and times that are given are kept as long as the kernel knows the file, and no longer. The process that
// serves a mount must never touch what is below it, or it may wait for itself; nothing in this package does, and
// nothing that imports it should. A key named ".go-fuse-epoll-hack" at the root of a mount cannot be read: the protocol
// library keeps that name for itself.
package fs
