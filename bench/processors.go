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
	// Where proc(5) has what processors did, in the line of all of them: nothing; nothing, while somebody waited for a
	// disk; and what a host gave to others, or spent on this machine's disks.
	idleField, waitField, stealField = 4, 5, 8
	// stolenMuch is the share of the processors from which on a report speaks of it.
	stolenMuch = 0.05
)

// processors are times of all processors together.
type processors struct {
	idle   time.Duration // with nothing to do
	stolen time.Duration // taken by the host
}

func (p processors) plus(o processors) processors {
	return processors{p.idle + o.idle, p.stolen + o.stolen}
}

func (p processors) minus(o processors) processors {
	return processors{p.idle - o.idle, p.stolen - o.stolen}
}

// processorTimes are those since the machine has started; 0 where that is not told.
func processorTimes() processors {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return processors{}
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString('\n')
	return processorsOf(line)
}

// processorsOf reads them from the first line of /proc/stat.
func processorsOf(line string) processors {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "cpu" {
		return processors{}
	}
	at := func(field int) time.Duration {
		if field >= len(fields) {
			return 0
		}
		ticks, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return 0
		}
		return time.Duration(ticks) * statTick
	}
	return processors{idle: at(idleField) + at(waitField), stolen: at(stealField)}
}

// stolenShare is the part of so many processors that was stolen.
func (m measured) stolenShare(count int) float64 { return m.share(m.processors.stolen, count) }

// busyShare is the part of so many processors that had something to do, here or for the host. Near 1 they are what
// limits.
func (m measured) busyShare(count int) float64 {
	if m.elapsed <= 0 {
		return 0
	}
	return 1 - m.share(m.processors.idle, count)
}

func (m measured) share(of time.Duration, count int) float64 {
	if m.elapsed <= 0 {
		return 0
	}
	return min(max(of.Seconds()/(m.elapsed.Seconds()*float64(count)), 0), 1)
}
