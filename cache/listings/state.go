package listings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// namesDirectory is where listings are, in a cache directory, and stateFile what says which of them may be put there.
	namesDirectory = "names"
	stateFile      = "STATE"
	// markerFile is in every cache directory (see package disk). Where it is missing the disk is not mounted, and nothing
	// is made.
	markerFile = "CACHE"

	// slots is into how many the directories are divided, to note when one was changed last: a listing that is under way
	// while another directory of its slot is changed is not kept.
	slots      = 256
	stateMagic = "headrace names 1"
	stateSize  = len(stateMagic) + bootSize + 8 + 8*slots + 4
	bootSize   = 36 // of a boot's id, a UUID

	// lockPatience is how long anybody waits for those who have the state: they do no more with it than to rename or
	// remove a few files.
	lockPatience = 2 * time.Second
	lockRetry    = time.Millisecond
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// state is what all processes that use a cache directory share.
type state struct {
	boot    string               // during which changed was written
	used    int64                // bytes of the disk that the listings take; less than 0 where it is not known
	changed [slots]time.Duration // when a directory of the slot was changed last, by the time since boot
}

func slotOf(owner, dir string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, owner+"\x00"+dir) // never fails
	return int(h.Sum32() % slots)
}

func (s *state) bytes() []byte {
	b := append(make([]byte, 0, stateSize), stateMagic...)
	b = append(b, fmt.Sprintf("%-*.*s", bootSize, bootSize, s.boot)...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.used))
	for _, at := range s.changed {
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseState is the state that a file has, for a boot: changes made before the machine started are over, as are the
// listings that were under way then.
func parseState(b []byte, boot string) *state {
	fresh := &state{boot: boot, used: -1}
	if len(b) != stateSize || string(b[:len(stateMagic)]) != stateMagic {
		return fresh
	}
	if sum := b[stateSize-4:]; binary.LittleEndian.Uint32(sum) != crc32.Checksum(b[:stateSize-4], castagnoli) {
		return fresh
	}
	b = b[len(stateMagic):]
	written := string(b[:bootSize])
	fresh.used = int64(binary.LittleEndian.Uint64(b[bootSize:]))
	if written != fmt.Sprintf("%-*.*s", bootSize, bootSize, boot) {
		return fresh
	}
	for i := range fresh.changed {
		fresh.changed[i] = time.Duration(binary.LittleEndian.Uint64(b[bootSize+8+8*i:]))
	}
	return fresh
}

// errBusy is that somebody has had the state for longer than that can take.
var errBusy = errors.New("another process has the list of names locked, and does not go on")

// exclusively calls f with the state, which nobody else has meanwhile, and writes down what f has made of it, also
// where f fails. make is whether the state is made where there is none: else that is os.ErrNotExist. A state that is
// damaged, or was lost, does not know of changes that were made: listings that are under way are refused, as if all
// directories had been changed.
func (s *Store) exclusively(create bool, f func(*state) error) error {
	deadline := time.Now().Add(lockPatience)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-time.After(lockPatience):
		return errBusy
	}
	file, err := s.openState(create)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // which gives the lock back; what was written is checksummed
	for {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("listings: locking: %w", err)
		}
		if time.Now().After(deadline) {
			return errBusy
		}
		time.Sleep(lockRetry)
	}
	b := make([]byte, stateSize+1)
	n, err := file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("listings: %w", err)
	}
	st := parseState(b[:n], s.cfg.Boot)
	if st.used < 0 {
		st.used = 0
		st.changeAll(s.cfg.Uptime())
		s.recount.Store(true)
	}
	err = f(st)
	if _, failed := file.WriteAt(st.bytes(), 0); failed != nil {
		err = errors.Join(err, fmt.Errorf("listings: %w", failed))
	}
	return err
}

// changeAll has all listings under way be refused.
func (s *state) changeAll(at time.Duration) {
	for i := range s.changed {
		s.changed[i] = max(s.changed[i], at)
	}
}

func (s *Store) openState(create bool) (*os.File, error) {
	path := filepath.Join(s.dir(), stateFile)
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if !errors.Is(err, os.ErrNotExist) || !create {
		return file, err
	}
	if err := s.makeDirectory(s.dir()); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// makeDirectory makes a directory of listings, in a cache directory that is there.
func (s *Store) makeDirectory(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(s.cfg.Dir, markerFile)); err != nil {
		return fmt.Errorf("listings: %w", err)
	}
	return os.MkdirAll(path, 0o700)
}

func (s *Store) dir() string { return filepath.Join(s.cfg.Dir, namesDirectory) }
