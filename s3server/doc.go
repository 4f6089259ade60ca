// Package s3server runs a real S3 server as a child process, for the demo, the benchmark and tests.
//
// It relies on the server's own binary, built at a pinned version and put beside headrace by `make tools`: a server is
// never linked into headrace, so that it can be killed, stalled and started again as a real one can, and so that its
// dependencies and its licence stay its own.
//
// The trade-off: a process on a port of 127.0.0.1 takes about a tenth of a second to start, where an in-process store
// takes none; what it proves is worth that. The port is chosen by asking the kernel for a free one, which another
// process may take in between: Start then tries another.
//
// Its parts: [Kind] knows what each server wants on its command line; [Server] owns one child: exactly one goroutine
// starts it and waits for it, locked to its thread, because the kernel ties the child's death signal to the thread that
// made it. A child never outlives its parent, not even one that was killed.
//
// Limits: credentials go to the child by its environment, which root and the same user can read; they are meant for
// servers on the loopback device with nothing of value behind them.
package s3server
