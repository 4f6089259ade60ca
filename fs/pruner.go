package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// maxNodes is how many nodes the kernel may know before it is asked to forget the oldest: on a host with much memory
	// it forgets none by itself, and a walk over ten million files would have it, and with it this process, remember them
	// all. A node takes about 400 bytes here, so these are about 25 MB with what Go's heap adds.
	maxNodes = 32 << 10

	// pruneBatch is how many nodes one request to the kernel names.
	pruneBatch = 512
)

// kernel is what the pruner asks of the protocol library.
type kernel interface {
	PruneNotify(nodes []uint64) fuse.Status
	EntryNotify(parent uint64, name string) fuse.Status
}

// pruner has the kernel forget nodes when it knows too many. It runs in a goroutine of its own and holds no lock: the
// kernel may make it wait for a lookup under way in the same directory, and that lookup is answered by others.
type pruner struct {
	nodes  *nodeTable
	kernel kernel
}

// run prunes whenever the table says that it is too large, until ctx ends.
func (p *pruner) run(ctx context.Context) {
	for {
		select {
		case <-p.nodes.crowded:
		case <-ctx.Done():
			return
		}
		victims := p.nodes.oldest(p.nodes.limit / 2)
		for len(victims) > 0 && ctx.Err() == nil {
			n := min(len(victims), pruneBatch)
			p.prune(victims[:n])
			victims = victims[n:]
		}
	}
}

// prune has the kernel forget what it does not use of the nodes. Kernels before 6.18 have to be told name by name; they
// forget those in use as well, as names: whoever has a file open does not notice. A directory is left alone there: a
// process that works in it would lose it, and so would what is mounted below.
func (p *pruner) prune(victims []*node) {
	ids := make([]uint64, len(victims))
	for i, n := range victims {
		ids[i] = n.id
	}
	if p.kernel.PruneNotify(ids) != fuse.ENOSYS {
		return // what else may be wrong, next time it is not
	}
	for _, n := range victims {
		if !n.dir {
			p.kernel.EntryNotify(n.parent().id, n.name())
		}
	}
}
