// Package share lets the processes of one user on one machine use a cache directory together. One of them owns it,
// which is who has its lock, and keeps a disk.Tier; the others ask the owner, at a socket in the directory. When the
// owner ends or is killed, another takes its place.
//
// It relies on the directory being its user's alone (mode 0700, which package disk makes sure of), and on the other
// side's being of that user, as the kernel says (SO_PEERCRED): processes of one user could read the directory anyhow,
// so they trust each other.
//
// The trade-off is that whoever is not the owner, or has lost it, goes without the disk rather than wait: a cache that
// finds nothing. No call waits longer than its deadline, and what is offered is taken along by goroutines of the
// member's own.
//
// Its parts, from the bottom:
//
//   - wire.go, messages.go: requests and answers with descriptors, on a stream socket.
//   - client.go: the connections to an owner, one request at a time on each.
//   - server.go, requests.go: the owner's half.
//   - member.go: who is the owner, now. hold.go, errands.go: what package cache asks for.
//   - visitor.go: who wants to look at a directory in use, and change it, without being a member.
//
// Why nothing has to be said again when the owner changes: docs/decisions/0008.
package share
