package disk

import "hash/crc32"

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

// admitAll decides what of a batch is kept, and takes what must go for it out of the catalog.
func (t *Tier) admitAll(batch []*Offer) (jobs []*job, err error) {
	fs, err := statfs(t.dir.path)
	if err != nil {
		return nil, err
	}
	var reserved int64
	numbers := make(map[versionHash]uint64)
	for _, o := range batch {
		t.brought(o.bytes())
		j, err := t.job(o, numbers)
		if err != nil {
			return nil, err
		}
		if j == nil {
			continue
		}
		_, space := weigh(len(o.Data), j.want)
		t.beingWritten[j.key] = true
		ok, err := t.admit(newcomer{hashOf(j.hash, o.Chunk), t.wanted.has(j.hash)}, space, reserved, fs)
		if err != nil {
			return nil, err
		}
		if !ok {
			t.stats.rejected.Add(1)
			continue
		}
		reserved += space
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// admit evicts what is worth less than a newcomer until there is room for its bytes beside those reserved; false when
// the newcomer is not to be kept. Room that is missing for other reasons than the batch's is not made for it: that is
// shrink's, which does it for everybody and stops when it does not help.
func (t *Tier) admit(n newcomer, need, reserved int64, fs freeSpace) (bool, error) {
	for {
		left := t.left(reserved, fs)
		if left >= need {
			return true, nil
		}
		if need-left > batchBytes {
			return false, nil
		}
		v, ok, err := t.evictOne(&n)
		if n.wanted && !ok && err == nil { // there is nothing but what is wanted
			v, ok, err = t.evictOne(nil)
		}
		if err != nil || !ok {
			return false, err
		}
		t.evict(v)
	}
}

// job looks up what an offer is about; nil when there is nothing to write. numbers are those of the batch's versions so
// far: one whose last chunk goes for another of its own keeps its number.
func (t *Tier) job(o *Offer, numbers map[versionHash]uint64) (*job, error) {
	j := &job{offer: o, hash: hashVersion(o.Version)}
	var ok bool
	var err error
	if j.version, ok, err = t.catalog.version(j.hash); err != nil {
		return nil, err
	}
	if !ok {
		id, has := numbers[j.hash]
		if !has {
			id = t.catalog.newID()
		}
		j.version = versionRecord{id: id, version: o.Version}
	}
	numbers[j.hash] = j.version.id
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
	t.crash("file")
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
		if !t.underWay.begin(int64(len(run)), t.room) {
			t.stats.skipped.Add(int64(len(run)))
			return
		}
		j.err = d.writeAt(run, int64(j.key.index)*ChunkSize+int64(from)*BlockSize)
		t.underWay.end(int64(len(run)))
		if j.err != nil {
			return
		}
		j.written |= (1<<i - 1) &^ (1<<from - 1)
		t.crash("block")
	}
}

// room is how many bytes may still be written, of which a part may be under way: others may have filled the disk since
// the batch was begun.
func (t *Tier) room() int64 {
	fs, err := statfs(t.dir.path)
	if err != nil {
		return 0
	}
	return t.space.spare(fs)
}

// note puts what was written into the catalog.
func (t *Tier) note(j *job) error {
	if j.written == 0 {
		return nil
	}
	r, ok, err := t.catalog.version(j.hash)
	switch {
	case err != nil:
		return err
	case ok:
		j.version = r
	default: // it is new, or its last chunk went for this batch: what was known of it then is of no use
		j.version = versionRecord{id: j.version.id, version: j.offer.Version}
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
