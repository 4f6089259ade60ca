package disk

import (
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	// commitAfter is how long what was written waits to be committed when nothing else is to be written.
	commitAfter = 500 * time.Millisecond
	// lookAfter is how often it is looked whether the disk is filling up.
	lookAfter = time.Second
	// rememberAfter is how often popularity is saved.
	rememberAfter = time.Minute
	// shrinkBatch is how many chunks are evicted between two commits when space is short.
	shrinkBatch = 64
	// writers is how many chunks are written at the same time.
	writers = 4
)

// run is the writer: the one goroutine that changes the catalog. It ends when stop is closed, after a last commit.
func (t *Tier) run() {
	defer close(t.ended)
	commit, look, remember := time.NewTicker(commitAfter), time.NewTicker(lookAfter), time.NewTicker(rememberAfter)
	defer commit.Stop()
	defer look.Stop()
	defer remember.Stop()
	for {
		select {
		case o := <-t.queue.offers:
			t.write(t.batch(o))
		case order := <-t.orders:
			order()
		case <-commit.C:
			t.commit(nil)
		case <-look.C:
			t.lookAtDisk()
			t.shrink()
		case <-remember.C:
			t.savePopularity()
		case <-t.stop:
			t.runOrders()
			t.commit(nil)
			t.savePopularity()
			return
		}
	}
}

// lookAtDisk finds out, some time after the disk failed, whether it works.
func (t *Tier) lookAtDisk() {
	if t.health.doubtful(t.now()) {
		t.health.found(t.dir.works(), t.now())
	}
}

// Lost is closed when the disk is found to be dead or gone, or the index is damaged: nothing is kept or found any more
// then, and the tier is to be closed. Whether the directory can be used again is found out by opening it.
func (t *Tier) Lost() <-chan struct{} { return t.health.lost }

// runOrders runs those that have been given already.
func (t *Tier) runOrders() {
	for {
		select {
		case order := <-t.orders:
			order()
		default:
			return
		}
	}
}

// batch is an offer and what waits behind it.
func (t *Tier) batch(o *Offer) []*Offer {
	batch, bytes := []*Offer{o}, o.bytes()
	for bytes < batchBytes && len(batch) < batchOffers {
		select {
		case o := <-t.queue.offers:
			batch = append(batch, o)
			bytes += o.bytes()
		default:
			return batch
		}
	}
	return batch
}

// write keeps what of a batch is worth it. Of several offers of one chunk each has its turn.
func (t *Tier) write(batch []*Offer) {
	for len(batch) > 0 {
		var turn, later []*Offer
		chunks := make(map[offered]bool, len(batch))
		for _, o := range batch {
			if k := (offered{o.Version, o.Chunk}); chunks[k] {
				later = append(later, o)
			} else {
				chunks[k] = true
				turn = append(turn, o)
			}
		}
		t.writeTurn(turn)
		batch = later
	}
}

// offered names the chunk of an offer.
type offered struct {
	version objstore.Version
	chunk   int64
}

// writeTurn keeps what of a batch, which has no chunk twice, is worth it. The order is what makes a crash harmless:
// commit what goes and what may be half written, give back the space of what goes, write, and note what is there, which
// the next commit makes last.
func (t *Tier) writeTurn(batch []*Offer) {
	defer func() {
		clear(t.beingWritten)
		for _, o := range batch {
			t.done(o)
		}
	}()
	jobs, err := t.admitAll(batch)
	if err != nil {
		t.fail("read index", err)
		return
	}
	if len(jobs) == 0 {
		return
	}
	intents := make([]chunkKey, len(jobs))
	for i, j := range jobs {
		intents[i] = j.key
	}
	if !t.commit(intents) {
		return
	}
	t.crash("before data")
	var g errgroup.Group
	g.SetLimit(writers)
	for _, j := range jobs {
		g.Go(func() error {
			j.write(t)
			return nil
		})
	}
	_ = g.Wait() // each job has its own error
	t.crash("after data")
	worked := true
	for _, j := range jobs {
		if j.err != nil {
			worked = false
			t.fail("write", j.err)
		}
		err := t.note(j)
		if err != nil {
			worked = false
			t.fail("read index", err)
		}
		if err != nil || j.written != j.want { // the disk may have taken a part of it
			_, space := weigh(len(j.offer.Data), j.want)
			t.leftovers = append(t.leftovers, leftover{j.key, space})
		}
	}
	if worked {
		t.health.wrote()
	}
	t.removeLeftovers()
}

// commit makes last what has changed, with what will be written next, and gives back what was evicted. false when that
// failed; then nothing may be written.
func (t *Tier) commit(intents []chunkKey) bool {
	if len(intents) == 0 && t.catalog.changed() == 0 && len(t.leftovers) == 0 {
		return true
	}
	if !t.health.writable(t.now()) {
		return false
	}
	t.crash("before commit")
	for _, v := range t.evicted { // it is in its file still
		intents = append(intents, v.key)
	}
	for _, l := range t.leftovers {
		intents = append(intents, l.key)
	}
	if err := t.catalog.commit(intents); err != nil {
		t.fail("commit", err)
		return false
	}
	t.crash("after commit")
	t.giveBack(t.evicted)
	t.evicted, t.evictedSpace = nil, 0
	t.removeLeftovers()
	return true
}

// errClosed is what orders get once the tier is closed.
var errClosed = errors.New("disk: closed")

// order has the writer do something that changes the catalog, and waits for it.
func (t *Tier) order(do func() error) error { return t.orderUntil(nil, do) }

// orderUntil is order, but waits no longer than until a time comes. It may be done later then.
func (t *Tier) orderUntil(late <-chan time.Time, do func() error) error {
	result := make(chan error, 1)
	select {
	case t.orders <- func() { result <- do() }:
	case <-t.ended:
		return errClosed
	case <-late:
		return errLate
	}
	select {
	case err := <-result:
		return err
	case <-t.ended:
		return errClosed
	case <-late:
		return errLate
	}
}
