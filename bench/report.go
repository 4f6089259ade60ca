package bench

import (
	"encoding/json"
	"fmt"
	"io"
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
	MountArgs []string      `json:"mount_args"` // beyond where the store is
	Started   time.Time     `json:"started"`    //
	Rows      []Row         `json:"rows"`       // in the order in which they were measured
}

// Row is one workload, read by a raw client and through a mount. CPU times are seconds for each GiB that was read.
type Row struct {
	Workload string  `json:"workload"`
	Unit     string  `json:"unit"` // of Raw and Mount: "MiB/s", "IOPS", "files/s", or "ms", where less is better
	Raw      float64 `json:"raw"`
	Mount    float64 `json:"mount"`
	Ratio    float64 `json:"ratio"` // of Mount to Raw

	// A side that was cut was not through after ten times the duration: its figures are of what it had read by then.
	RawCut   bool `json:"raw_cut"`
	MountCut bool `json:"mount_cut"`

	RawCPU    float64 `json:"raw_cpu_s_per_gib"`    // this process, while the raw client reads
	ReaderCPU float64 `json:"reader_cpu_s_per_gib"` // the threads that read through the mount, kernel included
	DaemonCPU float64 `json:"daemon_cpu_s_per_gib"`

	Requests       int64   `json:"requests"`         // the daemon's, to the store
	FetchedPerRead float64 `json:"fetched_per_read"` // bytes from the store for each byte read

	RawP50   float64 `json:"raw_p50_ms"` // milliseconds to the first byte; see the workloads
	RawP99   float64 `json:"raw_p99_ms"`
	MountP50 float64 `json:"mount_p50_ms"`
	MountP99 float64 `json:"mount_p99_ms"`

	PeakRSS int64 `json:"peak_rss"` // the daemon's, bytes
}

// row puts both sides of a workload together.
func row(w workload, raw, mount measured, daemon spent) Row {
	r := Row{
		Workload:  w.name,
		RawCPU:    perGiB(raw.cpu, raw.bytes),
		ReaderCPU: perGiB(mount.cpu, mount.bytes),
		DaemonCPU: perGiB(daemon.cpu, mount.bytes),
		Requests:  daemon.requests,
		RawP50:    ms(raw.percentile(0.50)),
		RawP99:    ms(raw.percentile(0.99)),
		MountP50:  ms(mount.percentile(0.50)),
		MountP99:  ms(mount.percentile(0.99)),
		PeakRSS:   daemon.peakRSS,
	}
	if mount.bytes > 0 {
		r.FetchedPerRead = float64(daemon.fetched) / float64(mount.bytes)
	}
	if w.endsItself() {
		r.RawCut, r.MountCut = raw.cut, mount.cut
	}
	switch w.kind {
	case kindIdle:
		return r
	case kindRandom:
		r.Unit, r.Raw, r.Mount = "IOPS", perSecond(raw.reads, raw.elapsed), perSecond(mount.reads, mount.elapsed)
	case kindFiles:
		r.Unit, r.Raw, r.Mount = "files/s", perSecond(raw.reads, raw.elapsed), perSecond(mount.reads, mount.elapsed)
	case kindFirstByte:
		r.Unit, r.Raw, r.Mount = "ms", r.RawP50, r.MountP50
	default:
		r.Unit, r.Raw, r.Mount = "MiB/s", perSecond(raw.bytes, raw.elapsed)/mib, perSecond(mount.bytes, mount.elapsed)/mib
	}
	if r.Raw > 0 {
		r.Ratio = r.Mount / r.Raw
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
	fmt.Fprintln(t, "workload\traw\tmount\t\tratio\traw CPU\treader CPU\tdaemon CPU\trequests\tfetched\traw p50\traw p99\tmount p50\tmount p99\tpeak RSS\t")
	fmt.Fprintln(t, "\t\t\t\t\ts/GiB\ts/GiB\ts/GiB\t\tper read\tms\tms\tms\tms\tMiB\t")
	for _, x := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n",
			x.Workload, figure(x.Raw)+cutMark(x.RawCut), figure(x.Mount)+cutMark(x.MountCut), x.Unit, x.Ratio, x.RawCPU, x.ReaderCPU, x.DaemonCPU, x.Requests, x.FetchedPerRead,
			x.RawP50, x.RawP99, x.MountP50, x.MountP99, x.PeakRSS/mib)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, tableNotes)
	return err
}

const tableNotes = `
ratio: mount to raw; for ms, less is better.
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
