// Package upload keeps what is written until it is stored, and stores it.
//
// It relies on a bucket that makes an object appear whole or not at all, under a condition, and on a journal that
// survives the process. A [File] is what somebody writes: its bytes go to a staging file on a local disk, at their own
// offsets, over a base, which is the stored version that the file began as. Publishing it sends what differs and has
// the store copy the rest.
//
// # How a file becomes an object
//
//	WriteAt, Truncate ... -> content: which bytes are local, which are the base's, which differ from what is stored
//	                      -> eager parts: what a sequential writer has gone past is sent while it writes on
//	Publish               -> plan: one PutObject, or parts that are sent, or copied on the store's side, or sent already
//	                      -> the object appears, if its key still holds what this file replaces
//	stored                -> what was stored is the base of what comes next
//
// While a publication is under way nothing else is written to the file: what is sent is of one moment. A publication
// goes on when whoever asked for it gives up, and is tried again, until it is stored, or somebody else has put
// something under its key: then the data stays where it is, for its owner to decide.
//
// # Parts
//
//   - uploads.go: what files share. status.go: what can be seen of them. budget.go: the room they have on the disk.
//   - file.go, write.go: reading and writing. turnstile.go: writers and publications take turns.
//   - ranges.go, content.go, layout.go, plan.go: pure, what is to be done.
//   - publish.go, publication.go, parts.go, multipart.go: doing it. rest.go, retry.go: when. doubt.go, attemptof.go:
//     what came of it. await.go: how long is waited.
//   - rename.go, names.go: other names for what is not stored. move.go, moves.go, removal.go: renames of what is
//     stored.
//   - fate.go, recover.go, resume.go, moverecovery.go, orphans.go: what a dead mount has left. list.go, kept.go: what a
//     person sees of it and decides.
//
// # Limits
//
// A file of which stored parts had to be let go, because it is larger than the room on the disk, cannot be read or
// changed there before it is closed, and cannot be given another name without being stored under its old one first.
package upload
