package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostFacts are what matters of a machine.
type hostFacts struct {
	kernel    string // as uname tells
	fuse      error  // why nobody can mount; nil when one can
	root      bool
	admin     bool  // CAP_SYS_ADMIN
	tunable   bool  // the readahead of a mount can be set
	maxPages  int64 // fs.fuse.max_pages_limit; 0 where there is none
	openFiles uint64
	addresses uint64 // bytes of address space
	memory    int64  // bytes of the host
	group     int64  // bytes of the control group, a large number for no limit
}

// lookAtHost gathers them; root is the file system's root.
func lookAtHost(root fs.FS) hostFacts {
	f := hostFacts{root: os.Geteuid() == 0, memory: hostMemory(root), group: groupLimit(root)}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		f.kernel = unix.ByteSliceToString(name.Release[:])
	}
	f.fuse = checkFUSE("/dev/fuse", os.Getuid(), exec.LookPath)
	f.admin = capable(root, unix.CAP_SYS_ADMIN)
	var sys unix.Statfs_t
	f.tunable = f.root && unix.Statfs("/sys/class/bdi", &sys) == nil && sys.Flags&unix.ST_RDONLY == 0 // containers often have it read only
	if text, err := fs.ReadFile(root, "proc/sys/fs/fuse/max_pages_limit"); err == nil {
		f.maxPages, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // 0 is "not known"
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.openFiles = limit.Max
	}
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil {
		f.addresses = limit.Cur
	}
	return f
}

// capable tells whether this process has a capability in effect.
func capable(root fs.FS, capability uint) bool {
	text, err := fs.ReadFile(root, "proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if digits, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
			return err == nil && bits>>capability&1 == 1
		}
	}
	return false
}

const (
	// wantedPages is a request of 1 MiB, in pages of 4 KiB.
	wantedPages = 256
	// wantedFiles is how many open files a busy mount may need: connections, files of the cache, staging files.
	wantedFiles = 4096
	// besideMemory is what a mount needs besides --memory.
	besideMemory = 150 * mib
)

// judgeHost says what is to be thought of a machine that is to have a mount with so much memory.
func judgeHost(f hostFacts, memory size) []finding {
	return []finding{judgeFUSE(f), judgeKernel(f), judgeRequests(f), judgeReadAhead(f), judgeFiles(f), judgeMemory(f, memory), judgeAddresses(f)}
}

func judgeFUSE(f hostFacts) finding {
	if f.fuse != nil {
		return finding{"fuse", mistaken, f.fuse.Error(), ""}
	}
	how := "mounts are made by fusermount3"
	if f.root {
		how = "root mounts by itself"
	}
	return finding{"fuse", fine, "/dev/fuse is there, and " + how, ""}
}

func judgeKernel(f hostFacts) finding {
	major, minor, ok := kernelVersion(f.kernel)
	switch {
	case !ok:
		return finding{"kernel", noted, fmt.Sprintf("cannot tell what %q can do", f.kernel), ""}
	case major < 6 || major == 6 && minor < 9:
		return finding{"kernel", noted, "Linux " + f.kernel + " has no FUSE passthrough", "from 6.9 on, the kernel reads files by itself that the disk cache has"}
	case !f.admin:
		return finding{"kernel", noted, "Linux " + f.kernel + " has FUSE passthrough, which needs CAP_SYS_ADMIN", "mount as root, if files are to be read from the disk cache by the kernel itself"}
	}
	return finding{"kernel", fine, "Linux " + f.kernel + " has FUSE passthrough, and it may be used", ""}
}

var kernelPattern = regexp.MustCompile(`^(\d+)\.(\d+)`)

func kernelVersion(release string) (major, minor int, ok bool) {
	m := kernelPattern.FindStringSubmatch(release)
	if m == nil {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(m[1]) // digits
	minor, _ = strconv.Atoi(m[2])
	return major, minor, true
}

func judgeRequests(f hostFacts) finding {
	switch {
	case f.maxPages == 0:
		return finding{"requests", fine, "the kernel reads up to 1 MiB at a time (fs.fuse.max_pages_limit is of later kernels)", ""}
	case f.maxPages < wantedPages:
		return finding{
			"requests", warned, fmt.Sprintf("fs.fuse.max_pages_limit is %d: the kernel reads at most %d KiB at a time", f.maxPages, f.maxPages*4),
			fmt.Sprintf("`sysctl fs.fuse.max_pages_limit=%d`", wantedPages),
		}
	}
	return finding{"requests", fine, fmt.Sprintf("fs.fuse.max_pages_limit is %d: the kernel reads 1 MiB at a time", f.maxPages), ""}
}

func judgeReadAhead(f hostFacts) finding {
	if !f.tunable {
		return finding{
			"readahead", noted, "the kernel reads 128 KiB ahead, and a mount cannot have it read further, which costs CPU",
			"mount as root where /sys can be written to, if the CPU is what is short",
		}
	}
	return finding{"readahead", fine, "a mount can have the kernel read ahead further than its 128 KiB", ""}
}

func judgeFiles(f hostFacts) finding {
	if f.openFiles < wantedFiles {
		return finding{"open files", warned, fmt.Sprintf("at most %d may be open", f.openFiles), fmt.Sprintf("`ulimit -n %d`, or LimitNOFILE= of the service", wantedFiles)}
	}
	return finding{"open files", fine, fmt.Sprintf("%d may be open", f.openFiles), ""}
}

func judgeMemory(f hostFacts, memory size) finding {
	have, whose := f.memory, "the machine has"
	if f.group < have {
		have, whose = f.group, "the control group has"
	}
	text := fmt.Sprintf("%s %s, and --memory %s needs %s", whose, sizeText(have), memory.String(), sizeText(int64(memory)+besideMemory))
	if int64(memory)+besideMemory > have {
		return finding{"memory", mistaken, text, "a smaller --memory, or a larger limit: the mount would be killed"}
	}
	return finding{"memory", fine, text, ""}
}

func judgeAddresses(f hostFacts) finding {
	if f.addresses != unix.RLIM_INFINITY && f.addresses != 0 {
		return finding{"addresses", warned, "address space is limited to " + sizeText(int64(f.addresses)), "`ulimit -v unlimited`: the cache reserves far more than it uses"}
	}
	return finding{"addresses", fine, "address space is not limited", ""}
}
