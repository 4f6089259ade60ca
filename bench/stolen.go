package bench

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// statTick is the unit of /proc/stat: USER_HZ, which is 100 to every program (man 7 time).
	statTick = time.Second / 100
	// stealField is where proc(5) has the time that a host gave to others, or spent on this machine's disks, in the line of all processors.
	stealField = 8
	// stolenMuch is the share of the processors from which on a report speaks of it.
	stolenMuch = 0.05
)

// stolen is the time that the host has taken from this machine's processors since it started; 0 where that is not told.
func stolen() time.Duration {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString('\n')
	return stolenOf(line)
}

// stolenOf reads it from the first line of /proc/stat.
func stolenOf(line string) time.Duration {
	fields := strings.Fields(line)
	if len(fields) <= stealField || fields[0] != "cpu" {
		return 0
	}
	ticks, err := strconv.ParseInt(fields[stealField], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ticks) * statTick
}

// stolenShare is the part of so many processors that was stolen.
func (m measured) stolenShare(processors int) float64 {
	if m.elapsed <= 0 {
		return 0
	}
	return min(m.stolen.Seconds()/(m.elapsed.Seconds()*float64(processors)), 1)
}
