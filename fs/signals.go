package fs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// signalState is what the signals that a thread has pending mean for a wait.
type signalState int

const (
	signalsHarmless signalState = iota // none, or such as ask for nothing
	signalsStop                        // one that asks the process to stop, which has a handler for it
	signalsFatal                       // the process ends as soon as it can
)

// signalSet has bit n-1 set for signal n, as in /proc.
type signalSet uint64

func setOf(signals ...syscall.Signal) (s signalSet) {
	for _, n := range signals {
		s |= 1 << (n - 1)
	}
	return s
}

// signalMasks are the lines of /proc/PID/status about signals.
type signalMasks struct {
	pending, blocked, ignored, caught signalSet
}

// state judges the masks. A fatal signal to a process puts SIGKILL on each of its threads, except for those that dump
// core, which are fatal when nothing catches them.
func (m signalMasks) state() signalState {
	killed := setOf(syscall.SIGKILL)
	stops := setOf(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	harmless := setOf(syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT,
		syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU) // these do not end a process by default

	delivered := m.pending &^ m.blocked
	switch {
	case m.pending&killed != 0, delivered&^m.ignored&^m.caught&^harmless != 0:
		return signalsFatal
	case delivered&m.caught&stops != 0:
		return signalsStop
	}
	return signalsHarmless
}

// threadSignals looks at the signals of a thread, whose id may be 0 when it is not to be seen from here. What cannot be
// looked at is taken as fatal: it was interrupted by something, and nobody may be left hanging.
func threadSignals(tid uint32) signalState {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return signalsFatal
	}
	masks, ok := parseSignals(status)
	if !ok {
		return signalsFatal
	}
	return masks.state()
}

// parseSignals reads /proc/PID/status; ok tells that all lines were there.
func parseSignals(status []byte) (m signalMasks, ok bool) {
	found := 0
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		bits, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err != nil {
			continue
		}
		switch string(name) {
		case "SigPnd", "ShdPnd": // of the thread, and of the process
			m.pending |= signalSet(bits)
		case "SigBlk":
			m.blocked = signalSet(bits)
		case "SigIgn":
			m.ignored = signalSet(bits)
		case "SigCgt":
			m.caught = signalSet(bits)
		default:
			continue
		}
		found++
	}
	return m, found == 5
}
