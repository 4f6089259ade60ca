package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sys/unix"
)

// maxOpenFiles bounds the data files that are kept open though nobody uses them; each has two descriptors.
const maxOpenFiles = 256

// dataFile is an open data file. Large aligned pieces go by direct I/O, past the page cache, since memory above has
// them already; the rest, small objects for the most part, by way of it.
type dataFile struct {
	id     uint64
	plain  *os.File
	direct *os.File // nil where the file system has no direct I/O, and for files too small for it

	// Guarded by dataFiles.mu.
	users int
	stale bool // not in the table any more: the last user closes it
}

// dataFiles are the data files in use and those used lately.
type dataFiles struct {
	dir *directory

	mu     sync.Mutex // guards what is below and users and stale of the files
	open   *simplelru.LRU[uint64, *dataFile]
	closed bool // what is opened now is closed by its last user
}

func newDataFiles(dir *directory) *dataFiles {
	f := &dataFiles{dir: dir}
	// A size that is not positive is the only error, and there is none.
	f.open, _ = simplelru.NewLRU(maxOpenFiles, func(_ uint64, d *dataFile) {
		if d.stale = true; d.users == 0 {
			d.close()
		}
	})
	return f
}

// use opens the file of a version, making it with a size if that is not negative. Who calls it calls release.
func (f *dataFiles) use(id uint64, size int64) (*dataFile, error) {
	f.mu.Lock()
	d, ok := f.open.Get(id)
	if ok {
		d.users++
	}
	f.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := f.openFile(id, size)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if other, ok := f.open.Get(id); ok { // somebody was faster
		d.close()
		d = other
	} else if d.stale = f.closed; !d.stale {
		f.open.Add(id, d)
	}
	d.users++
	return d, nil
}

func (f *dataFiles) openFile(id uint64, size int64) (*dataFile, error) {
	flags := os.O_RDWR | syscall.O_NOFOLLOW
	if size >= 0 {
		flags |= os.O_CREATE
	}
	path := f.dir.dataFile(id)
	d := &dataFile{id: id}
	var err error
	if d.plain, err = os.OpenFile(path, flags, 0o600); errors.Is(err, syscall.EROFS) {
		d.plain, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	if size >= 0 {
		if err := d.plain.Truncate(size); err != nil {
			return nil, errors.Join(err, d.plain.Close())
		}
	}
	if st, err := d.plain.Stat(); f.dir.direct && err == nil && st.Size() >= leastDirect {
		d.direct, _ = os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_DIRECT, 0) // without it is slower, no more
	}
	return d, nil
}

func (f *dataFiles) release(d *dataFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.users--; d.users == 0 && d.stale {
		d.close()
	}
}

// remove deletes a version's file. Who has it open reads on.
func (f *dataFiles) remove(id uint64) error {
	f.mu.Lock()
	f.open.Remove(id)
	f.mu.Unlock()
	if err := os.Remove(f.dir.dataFile(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// closeAll closes what nobody uses, now and from now on.
func (f *dataFiles) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.open.Purge()
}

func (d *dataFile) close() {
	_ = d.plain.Close() // what was written was checked as it was written, and what is read is
	if d.direct != nil {
		_ = d.direct.Close()
	}
}

// leastDirect is how long a piece must be for direct I/O.
const leastDirect = BlockSize / 2

// directly is how much of b at an offset can go by direct I/O: all but what is left of the last 4 KiB, or nothing.
func (d *dataFile) directly(b []byte, off int64) int {
	if d.direct == nil || len(b) < leastDirect || off%diskBlock != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%diskBlock != 0 {
		return 0
	}
	return len(b) / diskBlock * diskBlock
}

// aligned is the part of b that direct I/O can read a block into; b has a disk block more than that.
func aligned(b []byte) []byte {
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (diskBlock - 1)
	return b[skip : skip+BlockSize]
}

// writeAt writes all of b. What goes by way of the page cache has left it for the disk when it returns: the kernel may
// find only then that the disk has no room for it, or fails, and would give what was there before once its pages are
// used for something else. It is not made to last: see the package's first invariant.
func (d *dataFile) writeAt(b []byte, off int64) error {
	n := d.directly(b, off)
	if n > 0 {
		if _, err := d.direct.WriteAt(b[:n], off); err != nil {
			return err
		}
	}
	if n < len(b) {
		if _, err := d.plain.WriteAt(b[n:], off+int64(n)); err != nil {
			return err
		}
		return writeOut(d.plain, off+int64(n), int64(len(b)-n))
	}
	return nil
}

// writeOut has the page cache write n bytes of a file at an offset, to its end for 0, and waits for it.
func writeOut(f *os.File, off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := unix.SyncFileRange(int(f.Fd()), off, n, all); err != nil {
		return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
	return nil
}

// readAt reads all of b; io.ErrUnexpectedEOF where the file is too short.
func (d *dataFile) readAt(b []byte, off int64) error {
	n := d.directly(b, off)
	read := 0
	if n > 0 {
		var err error
		if read, err = d.direct.ReadAt(b[:n], off); err != nil && err != io.EOF {
			return err
		}
	}
	if read == n && n < len(b) {
		more, err := d.plain.ReadAt(b[n:], off+int64(n))
		if err != nil && err != io.EOF {
			return err
		}
		read += more
	}
	if read < len(b) {
		return fmt.Errorf("data file %016x ends early: %w", d.id, io.ErrUnexpectedEOF)
	}
	return nil
}

// punchBlocks gives the space of blocks of a chunk back to the disk.
func (d *dataFile) punchBlocks(chunk uint32, length int, blocks Blocks) error {
	for i := 0; i < blocksPerChunk; i++ {
		var run Blocks
		from := i
		for ; i < blocksPerChunk && blocks.Has(i); i++ {
			run |= 1 << i
		}
		if run == 0 {
			continue
		}
		_, n := weigh(length, run)
		if err := punchHole(d.plain, int64(chunk)*ChunkSize+int64(from)*BlockSize, n); err != nil {
			return err
		}
	}
	return nil
}

// punchHole gives n bytes of a file at an offset back to the disk; they read as zeros then.
func punchHole(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
