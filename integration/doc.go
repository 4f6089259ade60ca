// Package integration tests headrace from outside: the binary as users run it, a real mount, a real S3 server. It has
// no code of its own beside its tests.
//
// What it relies on: /dev/fuse and the right to mount, python3, tar, git, rsync, sqlite3, and bin/versitygw (`make
// tools`). The binary is built once a run, with the race detector; the one test of memory builds a second one without,
// since the detector multiplies memory.
//
// Its parts:
//
//   - harness: suite_test.go (what a run shares), bucket_test.go (objects as another client stores them),
//     mount_test.go, log_test.go and metrics_test.go (a daemon and its mount), proxy_test.go and fault_test.go (records
//     and breaks requests), toxic_test.go (breaks connections), process_test.go (programs that use the mount),
//     helper_test.go (this test binary as one).
//   - promises: every list item of docs/semantics.md is the doc comment of a test, word for word; semantics_test.go
//     compares.
//   - writing: write*_test.go, by what is written, closed, renamed, refused; writemachines_test.go mounts one bucket
//     twice, writefsx_test.go makes random changes of a file in a process of its own (`-fsx.seeds 60` for more of
//     them).
//   - costs: testdata/traces holds scripts of commands with the exact requests each costs. A change of one is a change
//     to review; `go test ./integration -run Trace -update` writes them.
//
// The harness is strict: after every test the daemon must have ended by SIGTERM with exit code 0, with nothing on its
// stderr (where a data race would be reported), nothing at level WARN or above in its log unless the test provoked it,
// no file open that was not open when the mount was new, no temporary file, no process, and no mount left.
//
// A test never reads a mapped file of the mount itself: a page fault holds up Go's garbage collector, which the proxy
// in this same process may need to go on. Such reads are done by a child process.
//
// Limits: it needs root (the tests of --allow-other become another user), and takes some minutes.
package integration
