// Package bench measures reads and writes through a mount against the same by a raw client, in one run, so that what is
// kept are ratios: they say more about the mount than figures of one machine do.
//
// It relies on a store that is either given or a versitygw of its own (package s3server), on the headrace binary, which
// it mounts with as a user would, a fresh mount for each workload so that neither its cache nor the kernel's page cache
// knows anything, and on s3store as the raw client.
//
// The raw client is what a careful program without a file system would do: for sequential workloads 16 connections that
// each fetch 16 MiB ranges into a buffer, for all others one GET of exactly the bytes wanted for each read, with as
// many threads as the mount has readers.
//
// The workloads of the disk cache have other references, which the report names: plain files on the same disk with the
// same bytes, the same mount without a disk cache, or a mount that has all in its memory. The cache is filled first, by
// a mount of its own. The page cache is dropped before each side reads, unless the workload is about what it holds, so
// that neither has what the other's reading left there; that takes root. A workload that cannot be measured here is
// reported with the reason.
//
// [Sweep] is about the store alone: the raw client makes requests of one kind, more and more of them at once.
//
// Its parts: [Options] and [Run]; workloads (workloads.go) over readers of both kinds (side.go, sequential.go,
// random.go, write.go), at several stages of a cache's life (stage.go); target, which has the store and the objects;
// localDisk, which has the disk cache and the plain files; child, the mount; shaper, a proxy that makes a near store
// look far away; [Report]; and the sweep with its own load and report (sweep*.go).
//
// Limits: client, mount and a server of its own share one machine's CPU. Reader and raw client are threads of this
// process, measured by it; the daemon is measured by /proc, and its requests by its own metrics. The store's own page
// cache is warm. Workloads end when they are through or their time is up, whichever comes first; those that should have
// been through are marked as cut, and a side that reads nothing is an error.
package bench
