package prefetch

import "time"

const (
	// patience is how much longer than the quickest a demand read may take before completions stop: twice, and what a busy
	// processor adds by itself.
	patience      = 2
	patienceFloor = 5 * time.Millisecond

	// earned is how many quick misses allow one chunk to be completed: with one reader and 20 ms a miss that is 400 MiB/s
	// besides what it waits for.
	earned = 2
	// mostEarned bounds what starts at once after a quiet time: 64 MiB.
	mostEarned = 4 * earned

	// forget is by which part the memory of the quickest read grows with each slower one, so that a store that has become
	// slower is believed after some hundred reads.
	forget = 64
)

// pace lets random reads' completions have what is left, and no more. They are many and large, and share the network
// with the reads that somebody waits for; so they go on only while those take about as long as they would alone.
type pace struct {
	quickest time.Duration
	credit   int // in misses
}

// note takes into account that a read which had to be fetched took so long.
func (p *pace) note(took time.Duration) {
	if p.quickest == 0 || took < p.quickest {
		p.quickest = took
	} else {
		p.quickest += p.quickest / forget
	}
	if took > patience*p.quickest+patienceFloor {
		p.credit = 0
		return
	}
	p.credit = min(p.credit+1, mostEarned)
}

// spend asks for leave to complete one chunk.
func (p *pace) spend() bool {
	if p.credit < earned {
		return false
	}
	p.credit -= earned
	return true
}
