package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// prestageRecordAge is how long what an interrupted run has done counts: LOTA drops what is not used.
const prestageRecordAge = 24 * time.Hour

// prestageRecord remembers what LOTA was asked for by a run that did not come to its end, so that the next run of the
// same command goes on there. It is a file of eight bytes an object, a hash of its name and version; an object that is
// taken for another by its hash is not asked for, once in 10^12 at ten million.
type prestageRecord struct {
	path string
	done map[uint64]struct{}
	file *os.File // each entry is written by itself, at the end: what was asked for is known after a kill as well; nil for no record

	mu  sync.Mutex // guards what follows
	err error      // the first of writing
}

// openPrestageRecord opens the record of a command: one that names the same things at the same store.
func openPrestageRecord(o warmOptions, now time.Time) (*prestageRecord, error) {
	r := &prestageRecord{done: make(map[uint64]struct{})}
	if o.dryRun {
		return r, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return r, nil // nobody is at home: the next run asks again for everything, which does no harm
	}
	dir = filepath.Join(dir, "headrace", "prestage")
	name := sha256.Sum256([]byte(strings.Join(append([]string{o.store.endpoint, o.store.profile, o.list}, o.args...), "\x00")))
	r.path = filepath.Join(dir, fmt.Sprintf("%x", name[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.path = ""
		return r, nil
	}
	if info, err := os.Stat(r.path); o.again || err == nil && now.Sub(info.ModTime()) > prestageRecordAge {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return r, fail(exitFailure, err, "%v", err)
		}
	}
	if r.file, err = os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return r, fail(exitFailure, err, "what was done cannot be recorded: %v", err)
	}
	return r, r.load()
}

// load reads what was done. A torn end is an object more to ask for.
func (r *prestageRecord) load() error {
	in := bufio.NewReader(r.file)
	var entry [8]byte
	for whole := int64(0); ; whole += int64(len(entry)) {
		_, err := io.ReadFull(in, entry[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return r.file.Truncate(whole)
		}
		if err != nil {
			return fail(exitFailure, err, "%v", err)
		}
		r.done[binary.LittleEndian.Uint64(entry[:])] = struct{}{}
	}
}

func prestageHash(o object) uint64 {
	sum := sha256.Sum256([]byte(o.bucket.Endpoint() + "\x00" + o.name() + "\x00" + o.ETag))
	return binary.LittleEndian.Uint64(sum[:])
}

func (r *prestageRecord) has(o object) bool {
	if len(r.done) == 0 {
		return false
	}
	_, ok := r.done[prestageHash(o)]
	return ok
}

// add records an object.
func (r *prestageRecord) add(o object) {
	if r.file == nil {
		return
	}
	entry := binary.LittleEndian.AppendUint64(nil, prestageHash(o))
	if _, err := r.file.Write(entry); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err == nil {
			r.err = err
		}
	}
}

// close keeps the record of a run that is not complete, and removes that of one that is.
func (r *prestageRecord) close(complete bool) error {
	if r.file == nil {
		return nil
	}
	err := errors.Join(r.err, r.file.Close())
	if !complete {
		return err
	}
	if removed := os.Remove(r.path); !errors.Is(removed, os.ErrNotExist) { // another run of the same command may have come to its end as well
		err = errors.Join(err, removed)
	}
	return err
}
