package disk

import (
	"errors"
	"hash/crc32"
	"slices"
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
			t.shrink()
		case <-remember.C:
			t.savePopularity()
		case <-t.stop:
			t.commit(nil)
			t.savePopularity()
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

// job is an offer that was admitted.
type job struct {
	offer   *Offer
	hash    versionHash
	version versionRecord
	key     chunkKey
	want    Blocks // to be written
	sums    [blocksPerChunk]uint32
	written Blocks
	err     error
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

// writeTurn keeps what of a batch, which has no chunk twice, is worth it. The order is what makes a crash harmless: commit what goes and
// what may be half written, give back the space of what goes, write, and note what is there, which the next commit makes last.
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
		if err := t.note(j); err != nil {
			worked = false
			t.fail("read index", err)
		}
	}
	if worked {
		t.health.wrote()
	}
}

// admitAll decides what of a batch is kept, and takes what must go for it out of the catalog.
func (t *Tier) admitAll(batch []*Offer) (jobs []*job, err error) {
	fs, err := statfs(t.dir.path)
	if err != nil {
		return nil, err
	}
	var reserved int64
	fresh := make(map[versionHash]uint64)
	for _, o := range batch {
		t.brought(o.bytes())
		j, err := t.job(o, fresh)
		if err != nil {
			return nil, err
		}
		if j == nil {
			continue
		}
		_, space := weigh(len(o.Data), j.want)
		t.beingWritten[j.key] = true
		newcomer := hashOf(j.hash, o.Chunk)
		for t.space.left(t.catalog.totals.space+reserved, freeSpace{fs.free - reserved + t.evictedSpace, fs.total}) < space {
			before := t.catalog.totals.space
			v, ok, err := t.evictOne(&newcomer)
			if err != nil {
				return nil, err
			}
			if !ok {
				j = nil
				break
			}
			t.evict(v, before-t.catalog.totals.space)
		}
		if j == nil {
			t.stats.rejected.Add(1)
			continue
		}
		reserved += space
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// job looks up what an offer is about; nil when there is nothing to write. fresh are the numbers given to new versions of this batch.
func (t *Tier) job(o *Offer, fresh map[versionHash]uint64) (*job, error) {
	j := &job{offer: o, hash: hashVersion(o.Version)}
	var ok bool
	var err error
	if j.version, ok, err = t.catalog.version(j.hash); err != nil {
		return nil, err
	}
	if !ok {
		id, has := fresh[j.hash]
		if !has {
			id = t.catalog.newID()
			fresh[j.hash] = id
		}
		j.version = versionRecord{id: id, version: o.Version}
	}
	j.key = chunkKey{j.version.id, uint32(o.Chunk)}
	c, _, err := t.catalog.chunk(j.key)
	if err != nil {
		return nil, err
	}
	j.want = o.Blocks &^ c.present
	if j.want == 0 {
		return nil, nil
	}
	return j, nil
}

// write puts the bytes into the file, runs of blocks at once.
func (j *job) write(t *Tier) {
	d, err := t.files.use(j.key.id, j.offer.Version.Size)
	if err != nil {
		j.err = err
		return
	}
	defer t.files.release(d)
	data := j.offer.Data
	for i := 0; i < blocksPerChunk; {
		if !j.want.Has(i) {
			i++
			continue
		}
		from := i
		for ; i < blocksPerChunk && j.want.Has(i); i++ {
			block := data[i*BlockSize : i*BlockSize+blockLength(len(data), i)]
			j.sums[i] = crc32.Checksum(block, castagnoli)
		}
		run := data[from*BlockSize : min(i*BlockSize, len(data))]
		if j.err = d.writeAt(run, int64(j.key.index)*ChunkSize+int64(from)*BlockSize); j.err != nil {
			return
		}
		j.written |= (1<<i - 1) &^ (1<<from - 1)
		t.crash("block")
	}
}

// note puts what was written into the catalog.
func (t *Tier) note(j *job) error {
	if j.written == 0 {
		return nil
	}
	if r, ok, err := t.catalog.version(j.hash); err != nil {
		return err
	} else if ok {
		j.version = r
	}
	before, _, err := t.catalog.chunk(j.key)
	if err != nil {
		return err
	}
	after := before
	after.present |= j.written
	for i, sum := range j.sums {
		if j.written.Has(i) {
			after.sums[i] = sum
		}
	}
	j.version.admit(j.offer.Reader)
	t.checked.add(j.key, j.written)
	t.catalog.put(j.hash, j.version, j.key, before, after)
	n, _ := weigh(len(j.offer.Data), j.written)
	t.stats.bytesWritten.Add(n)
	t.fitPopularity(int(t.catalog.totals.chunks))
	return nil
}

// admit notes that a reader may read the version.
func (r *versionRecord) admit(reader uint64) {
	if slices.Contains(r.readers, reader) {
		return
	}
	r.readers = append(slices.Clone(r.readers), reader) // the catalog hands out records that share it
	r.readers = r.readers[max(0, len(r.readers)-maxReaders):]
}

// commit makes last what has changed, with what will be written next, and gives back what was evicted. false when that failed; then
// nothing may be written.
func (t *Tier) commit(intents []chunkKey) bool {
	if len(intents) == 0 && t.catalog.changed() == 0 {
		return true
	}
	if !t.health.writable(t.now()) {
		return false
	}
	t.crash("before commit")
	for _, v := range t.evicted { // it is in its file still
		intents = append(intents, v.key)
	}
	if err := t.catalog.commit(intents); err != nil {
		t.fail("commit", err)
		return false
	}
	t.crash("after commit")
	t.giveBack(t.evicted)
	t.evicted, t.evictedSpace = nil, 0
	return true
}

// shrink evicts while the limit, which may be lower than it was, or the disk, which others fill, asks for it.
func (t *Tier) shrink() {
	if t.cfg.idle {
		return
	}
	fs, err := statfs(t.dir.path)
	if err != nil {
		t.fail("statfs", err)
		return
	}
	for t.catalog.totals.chunks > 0 && t.space.left(t.catalog.totals.space, fs) < 0 {
		n, err := t.evictSome(shrinkBatch)
		if err != nil {
			t.fail("read index", err)
		}
		if n == 0 || err != nil || !t.commit(nil) {
			return
		}
		select {
		case <-t.stop:
			return
		default:
		}
		if fs, err = statfs(t.dir.path); err != nil {
			t.fail("statfs", err)
			return
		}
	}
}

// evictSome evicts so many chunks, fewer where the rest may not go.
func (t *Tier) evictSome(most int) (n int, err error) {
	for ; n < most; n++ {
		before := t.catalog.totals.space
		v, ok, err := t.evictOne(nil)
		if err != nil || !ok {
			return n, err
		}
		t.evict(v, before-t.catalog.totals.space)
	}
	return n, nil
}

// evict has the space of a chunk that is out of the catalog given back after the next commit.
func (t *Tier) evict(v victim, space int64) {
	t.stats.evicted.Add(1)
	t.evicted = append(t.evicted, v)
	t.evictedSpace += space
}

// errClosed is what orders get once the tier is closed.
var errClosed = errors.New("disk: closed")

// order has the writer do something that changes the catalog, and waits for it.
func (t *Tier) order(do func() error) error {
	result := make(chan error, 1)
	select {
	case t.orders <- func() { result <- do() }:
	case <-t.ended:
		return errClosed
	}
	select {
	case err := <-result:
		return err
	case <-t.ended:
		return errClosed
	}
}

// drop forgets blocks of a chunk that turned out to be wrong or lost, unless they have been written anew since the record was read. It does
// not wait; where the writer is behind, or somebody else reads the chunk, the next who uses the block finds out again.
func (t *Tier) drop(k chunkKey, seen chunkRecord, blocks Blocks) {
	t.checked.forget(k, blocks)
	select {
	case t.orders <- func() {
		if err := t.dropNow(k, seen, blocks); err != nil {
			t.fail("read index", err)
		}
	}:
	default:
	}
}

func (t *Tier) dropNow(k chunkKey, seen chunkRecord, blocks Blocks) error {
	h, ok, err := t.catalog.owner(k.id)
	if err != nil || !ok {
		return err
	}
	r, ok, err := t.catalog.version(h)
	if err != nil || !ok {
		return err
	}
	before, ok, err := t.catalog.chunk(k)
	if err != nil || !ok {
		return err
	}
	after := before
	for i := range blocksPerChunk {
		if blocks.Has(i) && before.sums[i] == seen.sums[i] {
			after.present &^= 1 << i
		}
	}
	t.checked.forget(k, blocks)
	gone := before.present &^ after.present
	_, space := weigh(chunkLength(r.version.Size, k.index), gone)
	if after.present == 0 {
		v, ok, err := t.remove(k)
		if ok {
			t.evict(v, space)
		}
		return err
	}
	leases, err := t.files.keeper(k.id)
	if err != nil {
		return err
	}
	defer leases.close()
	if t.uses.unlessUsed(k, leases, func() { t.catalog.put(h, r, k, before, after) }) {
		t.evict(victim{key: k, size: r.version.Size, blocks: gone}, space)
	}
	return nil
}
