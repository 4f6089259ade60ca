// Package bench measures reads through a mount against the same reads by a raw client.
package bench

import (
	"context"
	"errors"
	"io"
	"time"
)

// Options say what to measure, and where. The zero value measures everything against a server of its own.
type Options struct {
	// Bucket to use; "" starts a versitygw over a temporary folder and takes it down afterwards.
	Bucket string
	// Prefix below which objects are made and removed. "" means a fresh one of its own.
	Prefix string
	// Keys of objects to read instead of making any: the largest is read sequentially and at random, all of them as small
	// files. Required with ReadOnly.
	Keys []string
	// ReadOnly writes nothing and removes nothing.
	ReadOnly bool

	// How to reach the store; each as the flag of the same name. They are handed to the mount as they are.
	Endpoint      string
	Region        string
	Profile       string
	PathStyle     bool
	NoSignRequest bool
	RequesterPays bool

	// Binary is the headrace to mount with. "" means the running program.
	Binary string
	// MountArgs are further flags for `headrace mount`, for instance "--memory", "1GiB".
	MountArgs []string

	// FirstByte and Rate shape the traffic of raw client and mount alike, as a real store would: so long to the first byte
	// of each response, and so many bytes a second on each connection. Zero means unshaped.
	FirstByte time.Duration
	Rate      int64

	// Workloads by name; empty means all. See Workloads.
	Workloads []string
	// Size of the large object in bytes; 0 means 2 GiB.
	Size int64
	// SmallFiles is how many files of 100 KiB are read; 0 means 2000.
	SmallFiles int
	// Duration of each random workload and the bound of each other one; 0 means 8 s.
	Duration time.Duration

	// Dir for the server's folder and the mount point; "" means the system's temporary folder.
	Dir string
	// Progress is told a line for each thing begun; nil for nobody.
	Progress io.Writer
}

// Run measures what opts name and returns the report. When ctx ends it stops what is under way, takes down mounts and
// server, removes its objects, and returns what was measured so far together with the context's error.
func Run(ctx context.Context, opts Options) (*Report, error) {
	return nil, errors.ErrUnsupported
}

// Report is what was measured.
type Report struct {
	Rows []Row `json:"rows"`
}

// Row is one workload, read by a raw client and through a mount.
type Row struct {
	Workload string `json:"workload"`
}

// WriteTable writes the report for people, one line a workload.
func (r *Report) WriteTable(w io.Writer) error { return errors.ErrUnsupported }

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error { return errors.ErrUnsupported }
