package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/headrace/headrace/objstore"
)

// mountStatus is how a mount is doing: what it is, and what it has done since it started. It is what the mount says of
// itself, as JSON, and what `headrace status --json` prints of it; fields are only ever added.
type mountStatus struct {
	Mountpoint string    `json:"mountpoint"` // told by who asks: it may be seen under several
	Error      string    `json:"error,omitempty"`
	Source     string    `json:"source"`
	Endpoint   string    `json:"endpoint"` // "" for AWS
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	ReadOnly   bool      `json:"read_only"`

	OpenFiles int   `json:"open_files"`
	Read      int64 `json:"read_bytes"`    // given to programs, but for what the kernel had or read by itself
	Fetched   int64 `json:"fetched_bytes"` // from the store
	Local     int64 `json:"local_bytes"`   // from the cache disk
	Written   int64 `json:"written_bytes"` // by programs
	Sent      int64 `json:"sent_bytes"`    // to the store, tried again included
	Errors    int64 `json:"errors"`        // answers to programs that are logged: EIO, EACCES and the like

	Requests  uint64 `json:"requests"`        // to the store, tried again included
	Failed    uint64 `json:"failed_requests"` // but for those that found nothing there, or were given up
	Throttled uint64 `json:"throttled_requests"`
	InFlight  int    `json:"requests_in_flight"`
	Limit     int    `json:"request_limit"` // that may be in flight now

	Memory      int64 `json:"memory_bytes"`
	MemoryLimit int64 `json:"memory_limit_bytes"`
	Disk        int64 `json:"disk_bytes"`
	DiskLimit   int64 `json:"disk_limit_bytes"` // 0 without --cache-dir

	Unstored    int   `json:"unstored_files"` // written, and not stored yet
	Staged      int64 `json:"staged_bytes"`
	StagedLimit int64 `json:"staged_limit_bytes"` // 0 where nothing can be written
}

// status is what the mount says when it is asked; "" while it is being mounted.
func (s *stack) status(o mountOptions) string {
	if !s.mounted.Load() {
		return ""
	}
	now := s.snapshot()
	m := mountStatus{
		Source: o.source.String(), Endpoint: now.endpoint, Version: versionText(), PID: os.Getpid(), Started: s.started, ReadOnly: o.readOnly(),
		OpenFiles: now.mount.Files, Read: now.mount.ReadBytes, Written: now.mount.WriteBytes, Errors: now.mount.Errors,
		Local:     now.cache.BytesLocal,
		Throttled: now.gate.Throttled, InFlight: now.gate.InUse, Limit: now.gate.Limit,
		Memory: now.cache.MemoryUsed, MemoryLimit: now.cache.MemoryLimit, Disk: now.disk.Used, DiskLimit: now.disk.Limit,
		Unstored: now.uploads.Pending, Staged: now.uploads.Staged, StagedLimit: now.uploads.Limit,
	}
	for _, op := range now.meter.Ops {
		m.Requests += op.Requests
		m.Failed += op.Failed() - op.Errors[objstore.KindNotExist] - op.Errors[objstore.KindCanceled]
		m.Fetched += int64(op.Received)
		m.Sent += int64(op.Sent)
	}
	text, err := json.Marshal(m)
	if err != nil { // no value of it can fail
		panic(err)
	}
	return string(text)
}

// write writes it for people.
func (m mountStatus) write(w io.Writer, now time.Time) error {
	if m.Error != "" {
		_, err := fmt.Fprintf(w, "%s  %s\n", m.Mountpoint, m.Error)
		return err
	}
	about := []string{fmt.Sprintf("%s  %s", m.Mountpoint, m.Source)}
	if m.Endpoint != "" {
		about = append(about, "at "+m.Endpoint)
	}
	if m.ReadOnly {
		about = append(about, "read-only")
	}
	about = append(about, fmt.Sprintf("process %d, mounted %s, %s", m.PID, humanize.RelTime(m.Started, now, "ago", "from now"), m.Version))
	lines := []string{
		strings.Join(about, ", "),
		fmt.Sprintf("reading   %s given to programs; %s from the store, %s from the disk; %s open", sizeText(m.Read), sizeText(m.Fetched), sizeText(m.Local), count(m.OpenFiles, "file")),
		fmt.Sprintf("store     %s in flight of %d allowed; %d so far, %d failed, %d throttled", count(m.InFlight, "request"), m.Limit, m.Requests, m.Failed, m.Throttled),
		fmt.Sprintf("memory    %s of %s", sizeText(m.Memory), sizeText(m.MemoryLimit)),
	}
	if m.DiskLimit > 0 {
		lines = append(lines, fmt.Sprintf("disk      %s of %s", sizeText(m.Disk), sizeText(m.DiskLimit)))
	}
	if m.StagedLimit > 0 {
		lines = append(lines, fmt.Sprintf("writing   %s by programs; %s sent; %s not stored yet; staging %s of %s",
			sizeText(m.Written), sizeText(m.Sent), count(m.Unstored, "file"), sizeText(m.Staged), sizeText(m.StagedLimit)))
	}
	if m.Errors > 0 {
		lines = append(lines, fmt.Sprintf("errors    %d answers to programs; the log has each", m.Errors))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n  "))
	return err
}

// count is a number of things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
