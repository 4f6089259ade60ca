package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// holder is one process that keeps a mount busy, and the first thing found by which it does.
type holder struct {
	pid     int
	command string
	how     string // "works in", "has open", "runs", "maps", "has as its root"
	path    string // as the kernel names it
}

func (h holder) String() string {
	return fmt.Sprintf("%s (pid %d) %s %s", h.command, h.pid, h.how, h.path)
}

// findHolders looks through proc, the file system of /proc, for processes that use the mount, and returns them ordered
// by pid, each once, and whether some processes could not be looked at (those of other users). It only reads the
// kernel's tables: nothing below the mount is touched, so a dead mount does no harm.
func findHolders(proc fs.FS, mounted *mountinfo.Info) (holders []holder, hidden bool) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, true
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue // whoever asks may have inherited a descriptor, and goes on without it
		}
		h, looked := inspect(proc, entry.Name(), mounted)
		if !looked {
			hidden = true
		}
		if h.path == "" {
			continue
		}
		h.pid = pid
		command, _ := fs.ReadFile(proc, path.Join(entry.Name(), "comm"))
		h.command = strings.TrimSpace(string(command))
		holders = append(holders, h)
	}
	slices.SortFunc(holders, func(a, b holder) int { return a.pid - b.pid })
	return holders, hidden
}

// inspect looks at one process. looked is false when the kernel does not show what it has open.
func inspect(proc fs.FS, pid string, mounted *mountinfo.Info) (h holder, looked bool) {
	for _, link := range []struct{ name, how string }{{"cwd", "works in"}, {"root", "has as its root"}, {"exe", "runs"}} {
		if target, err := fs.ReadLink(proc, path.Join(pid, link.name)); err == nil && below(target, mounted.Mountpoint) {
			return holder{how: link.how, path: target}, true
		}
	}
	descriptors, err := fs.ReadDir(proc, path.Join(pid, "fd"))
	for _, d := range descriptors {
		if target, err := fs.ReadLink(proc, path.Join(pid, "fd", d.Name())); err == nil && below(target, mounted.Mountpoint) {
			return holder{how: "has open", path: target}, true
		}
	}
	if target := mapped(proc, pid, mounted); target != "" {
		return holder{how: "maps", path: target}, true
	}
	return holder{}, err == nil
}

// mapped is the first file of the mount that the process has in its memory, or "". A map outlives its descriptor, so it
// is not among the open ones.
func mapped(proc fs.FS, pid string, mounted *mountinfo.Info) string {
	text, err := fs.ReadFile(proc, path.Join(pid, "maps"))
	if err != nil {
		return ""
	}
	device := fmt.Sprintf("%02x:%02x", mounted.Major, mounted.Minor)
	for line := range strings.Lines(string(text)) {
		// address perms offset dev inode pathname
		fields := strings.Fields(line)
		if len(fields) >= 6 && fields[3] == device {
			return strings.Join(fields[5:], " ")
		}
	}
	return ""
}

// below tells whether the kernel's name of a file is at or under dir.
func below(target, dir string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(target, " (deleted)"), dir)
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}

// nestedMounts are the mounts inside the mount at dir, which keep it busy too.
func nestedMounts(dir string) []string {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint == dir || !below(m.Mountpoint, dir), false
	})
	if err != nil {
		return nil
	}
	var result []string
	for _, m := range mounts {
		result = append(result, m.Mountpoint)
	}
	return result
}

// describeHolders is who keeps the mount busy, in one line.
func describeHolders(proc fs.FS, mounted *mountinfo.Info) string {
	const shown = 5 // a line that can be read; a training job may have hundreds of workers
	holders, hidden := findHolders(proc, mounted)
	var parts []string
	for _, h := range holders[:min(len(holders), shown)] {
		parts = append(parts, h.String())
	}
	if more := len(holders) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more processes", more))
	}
	for _, dir := range nestedMounts(mounted.Mountpoint) {
		parts = append(parts, "another mount is at "+dir)
	}
	if hidden {
		parts = append(parts, "processes of other users cannot be seen from here")
	}
	if len(parts) == 0 {
		return "no process was found that has a file of it open; one may wait in close until its file is stored, or be in another mount namespace"
	}
	return strings.Join(parts, "; ")
}
