// Package journal keeps what was written and is not stored yet, so that a crash at any point loses nothing that was
// acknowledged, and leaves nothing in the store that nobody knows of.
//
// A mount has a staging directory of its own, locked while it lives ([Dir]). A file that is being written is two files
// in it ([Upload]): the data, and a log to which each step is appended before it is relied on. What a log comes to is
// found by playing it again ([Replay]), which is pure. A rename of many objects is one log of the same kind ([Moves]).
//
// What it relies on: one write(2) that has returned survives the process, so that a line of a log is there after kill
// -9. A power failure is survived by what was synced ([Upload.Sync]): the log says so after it was, and is gone by as
// it was then ([Record.AfterPowerLoss]).
//
// INVARIANT: data never exists without its log, but for a moment in which it is being removed: data without a log is
// garbage.
// INVARIANT: a line is whole and has the right checksum, or it is the last and has no newline. The latter is what a
// crash leaves in the middle of a write, and counts as not written, as does, after a loss of power, what comes behind
// the last sync and is not whole; anything else is damage, is said so, and nothing is done by a damaged log.
//
// One log a file rather than one database for all: a step costs one write(2) and no lock that others wait for, damage
// of one touches no other, and what is written down can be read by a person. It knows nothing of networks: who acts by
// the logs is package upload.
//
// Its parts:
//
//   - directory.go: whose a staging directory is, and that one process at a time uses it. leftovers.go: those of dead
//     mounts. access.go: that nobody else gets in.
//   - log.go: lines, checksums, appending. step.go: what can stand in a line.
//   - upload.go: the two files of one upload. spares.go: what becomes of them afterwards.
//   - record.go, replay.go, ranges.go: what a log comes to. powerloss.go: and where the machine went down.
//   - moves.go: the log of a rename of many objects.
package journal
