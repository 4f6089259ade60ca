package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// Report is what was measured.
type Report struct {
	// What it was measured with.
	Endpoint  string        `json:"endpoint"`
	CPUs      int           `json:"cpus"`
	Size      int64         `json:"size"`       // of the large object, bytes
	FirstByte time.Duration `json:"first_byte"` // nanoseconds the shaper waits; 0 for none
	Rate      int64         `json:"rate"`       // bytes a second it lets through on a connection; 0 for all
	MountArgs []string      `json:"mount_args"` // beyond where the store is and what a workload needs
	Started   time.Time     `json:"started"`    //
	Rows      []Row         `json:"rows"`       // in the order in which they were measured
}

// Row is one workload, read by a reference and through a mount. CPU times are seconds for each GiB that was read.
type Row struct {
	Workload  string  `json:"workload"`
	Against   string  `json:"against"`           // what the reference is: "raw client", "local file", "no disk cache", "memory"; "" for nothing
	Skipped   string  `json:"skipped,omitempty"` // why it was not measured; then there is nothing below
	Unit      string  `json:"unit"`              // of Reference and Mount: "MiB/s", "IOPS", "files/s", or "ms", where less is better
	Reference float64 `json:"reference"`
	Mount     float64 `json:"mount"`
	Ratio     float64 `json:"ratio"` // of Mount to Reference

	// A side that was cut was not through after ten times the duration: its figures are of what it had read by then.
	ReferenceCut bool `json:"reference_cut"`
	MountCut     bool `json:"mount_cut"`

	ReferenceCPU float64 `json:"reference_cpu_s_per_gib"` // all of this process for the raw client, else the threads that read
	ReaderCPU    float64 `json:"reader_cpu_s_per_gib"`    // the threads that read through the mount, kernel included
	DaemonCPU    float64 `json:"daemon_cpu_s_per_gib"`

	Requests       int64   `json:"requests"`         // the daemon's, to the store
	FetchedPerRead float64 `json:"fetched_per_read"` // bytes from the store for each byte read
	FromDisk       float64 `json:"from_disk"`        // the part of the bytes read that came from the disk cache
	Passthrough    int64   `json:"passthrough"`      // files opened for the kernel to read by itself

	ReferenceP50 float64 `json:"reference_p50_ms"` // milliseconds to the first byte; see the workloads
	ReferenceP99 float64 `json:"reference_p99_ms"`
	MountP50     float64 `json:"mount_p50_ms"`
	MountP99     float64 `json:"mount_p99_ms"`

	PeakRSS int64 `json:"peak_rss"` // the daemon's, bytes

	// The part of the machine's processors that had something to do, 0 to 1, the store's work included where it runs here;
	// and the part that its host took meanwhile, for other guests or for this one's disks.
	ReferenceBusy   float64 `json:"reference_busy"`
	MountBusy       float64 `json:"mount_busy"`
	ReferenceStolen float64 `json:"reference_stolen"`
	MountStolen     float64 `json:"mount_stolen"`
}

// row puts both sides of a workload together.
func row(w workload, reference, mount measured, daemon spent) Row {
	r := Row{
		Workload:     w.name,
		Against:      w.against(),
		ReferenceCPU: perGiB(reference.cpu, reference.bytes),
		ReaderCPU:    perGiB(mount.cpu, mount.bytes),
		DaemonCPU:    perGiB(daemon.cpu, mount.bytes),
		Requests:     daemon.requests,
		Passthrough:  daemon.passed,
		ReferenceP50: ms(reference.percentile(0.50)),
		ReferenceP99: ms(reference.percentile(0.99)),
		MountP50:     ms(mount.percentile(0.50)),
		MountP99:     ms(mount.percentile(0.99)),
		PeakRSS:      daemon.peakRSS,

		ReferenceBusy:   reference.busyShare(runtime.NumCPU()),
		MountBusy:       mount.busyShare(runtime.NumCPU()),
		ReferenceStolen: reference.stolenShare(runtime.NumCPU()),
		MountStolen:     mount.stolenShare(runtime.NumCPU()),
	}
	if mount.bytes > 0 {
		r.FetchedPerRead = float64(daemon.fetched) / float64(mount.bytes)
	}
	if w.stage != stageStore && w.stage != stageWrite && w.stage != stageStaging && !w.warm && mount.bytes > 0 {
		byKernel := max(mount.bytes-daemon.answered, 0)
		r.FromDisk = min(float64(byKernel+daemon.local)/float64(mount.bytes), 1)
	}
	if w.endsItself() {
		r.ReferenceCut, r.MountCut = reference.cut, mount.cut
	}
	switch w.kind {
	case kindIdle:
		return r
	case kindRandom:
		r.Unit, r.Reference, r.Mount = "IOPS", perSecond(reference.reads, reference.elapsed), perSecond(mount.reads, mount.elapsed)
	case kindFiles, kindWriteFiles, kindCopyTree:
		r.Unit, r.Reference, r.Mount = "files/s", perSecond(reference.reads, reference.elapsed), perSecond(mount.reads, mount.elapsed)
	case kindFirstByte, kindAppend:
		r.Unit, r.Reference, r.Mount = "ms", r.ReferenceP50, r.MountP50
	default:
		r.Unit, r.Reference, r.Mount = "MiB/s", perSecond(reference.bytes, reference.elapsed)/mib, perSecond(mount.bytes, mount.elapsed)/mib
	}
	if r.Reference > 0 {
		r.Ratio = r.Mount / r.Reference
	}
	return r
}

func perGiB(cpu time.Duration, bytes int64) float64 {
	if bytes == 0 {
		return 0
	}
	return cpu.Seconds() / (float64(bytes) / gib)
}

func perSecond(n int64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// WriteTable writes the report for people, one line a workload.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d CPUs, large object of %d MiB", r.Endpoint, r.CPUs, r.Size/mib)
	if r.FirstByte != 0 || r.Rate != 0 {
		fmt.Fprintf(w, ", shaped: %v to the first byte, %d MiB/s a connection", r.FirstByte, r.Rate/mib)
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tagainst\treference\tmount\t\tratio\tref. CPU\treader CPU\tdaemon CPU\tref. busy\tmount busy\trequests\tfetched\tfrom disk\tpassed\tref. p50\tref. p99\tmount p50\tmount p99\tpeak RSS\t")
	fmt.Fprint(t, "\t\t\t\t\t\ts/GiB\ts/GiB\ts/GiB\t%\t%\t\tper read\t\tthrough\tms\tms\tms\tms\tMiB\t\n")
	for _, x := range r.Rows {
		if x.Skipped != "" {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%d\t%.2f\t%.2f\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n",
			x.Workload, x.Against, figure(x.Reference)+cutMark(x.ReferenceCut), figure(x.Mount)+cutMark(x.MountCut), x.Unit, x.Ratio,
			x.ReferenceCPU, x.ReaderCPU, x.DaemonCPU, 100*x.ReferenceBusy, 100*x.MountBusy, x.Requests, x.FetchedPerRead, x.FromDisk, x.Passthrough,
			x.ReferenceP50, x.ReferenceP99, x.MountP50, x.MountP99, x.PeakRSS/mib)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.writeNotes(w)
}

// writeNotes says what stands in the table, and what does not.
func (r *Report) writeNotes(w io.Writer) error {
	if _, err := fmt.Fprint(w, tableNotes); err != nil {
		return err
	}
	for _, x := range r.Rows {
		if max(x.ReferenceStolen, x.MountStolen) >= stolenMuch {
			_, err := fmt.Fprintf(w, "stolen: %s: the host took %.0f%% of the processors from the reference, and %.0f%% from the mount\n",
				x.Workload, 100*x.ReferenceStolen, 100*x.MountStolen)
			if err != nil {
				return err
			}
		}
		if x.Skipped == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "not measured: %s: %s\n", x.Workload, x.Skipped); err != nil {
			return err
		}
	}
	return nil
}

const tableNotes = `
ratio: mount to reference; for ms, less is better.
against: a raw S3 client, or for the disk cache: plain files on the same disk, the same mount without a disk cache, or one that answers from memory.
busy: the part of this machine's processors that had something to do; near 100 they are what limits.
from disk: the part of the bytes read; passed through: files opened for the kernel to read by itself.
cut: not through after ten times the duration; the figures are of what was read by then.
p50, p99: to the first byte of a range, a stream, or a file; where reads are random, to the last of a read.
`

// cutMark follows the figure of a side that was cut.
func cutMark(cut bool) string {
	if cut {
		return " cut"
	}
	return ""
}

// figure shows three digits or more.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
