package integration

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fsxSeeds is how many sequences of operations are tried; more find more.
var fsxSeeds = flag.Int("fsx.seeds", 8, "so many random sequences of operations on one file")

const (
	fsxOperations = 400
	fsxLargest    = 400_000 // bytes of the file: some pages, and no multiple of anything
	fsxPiece      = 70_000  // bytes of one operation, at most
	fsxHistory    = 12      // operations that are told of when one fails

	fsxAttribute = "user.fsx"
)

// fsxMounts are the flags of the mounts that take turns.
var fsxMounts = [][]string{
	nil,
	{"--read-mode", "direct", "--memory", "32MiB"},
	{"--write-back"},
	{"--cache-dir", "CACHE"},
	{"--posix-metadata"},
	{"--write-back", "--posix-metadata", "--cache-dir", "CACHE"},
}

// Reads, writes, maps, truncations, allocations, holes and copies in any order, by one process, give what they give on
// a local disk; and whenever fsync or close returns, the bucket has just that.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	var mounts []*mount
	for _, flags := range fsxMounts {
		spec := mountSpec{source: b.source(), endpoint: b.server.Endpoint(), flags: slices.Clone(flags)}
		if i := slices.Index(flags, "CACHE"); i >= 0 {
			spec.cacheDir = t.TempDir()
			spec.flags[i] = spec.cacheDir
		}
		mounts = append(mounts, startMount(t, spec))
	}
	for seed := range *fsxSeeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			turn := seed % len(mounts)
			key := fmt.Sprint("file-", seed)
			if seed%3 > 0 { // else there is none
				b.put(key, pattern(seed), int64(seed)*50_000%fsxLargest)
			}
			out, err := helperCommand(t, "fsx", mounts[turn].path(key), b.path(key), strconv.Itoa(seed), strings.Join(fsxMounts[turn], " ")).CombinedOutput()
			if err != nil {
				t.Errorf("%q: %v: %s", fsxMounts[turn], err, out)
			}
		})
	}
}

// fsx changes a file at random, after the tester of that name, and compares it with what it should be.
type fsx struct {
	random *rand.Rand
	path   string // of the file
	object string // of the file where the server keeps it
	file   *os.File
	want   []byte
	did    []string

	behind bool // the store hears of it after close and fsync
	posix  bool // attributes are kept
	mode   os.FileMode
	xattr  string
}

// note keeps what is done, for the message of a failure.
func (x *fsx) note(format string, args ...any) {
	x.did = append(x.did, fmt.Sprintf(format, args...))
	x.did = x.did[max(0, len(x.did)-fsxHistory):]
}

// runFsx is the helper: a process of its own may map files. Its arguments are the file's path, its object's, the seed
// and the mount's flags.
func runFsx(args []string) error {
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	x := &fsx{
		random: rand.New(rand.NewPCG(seed, 7)), path: args[0], object: args[1],
		behind: strings.Contains(args[3], "--write-back"), posix: strings.Contains(args[3], "--posix-metadata"), mode: 0o644,
	}
	if x.want, err = os.ReadFile(x.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := x.open(); err != nil {
		return err
	}
	for i := range fsxOperations {
		name, do := x.choose()
		if err := do(); err != nil {
			return fmt.Errorf("seed %d, operation %d, %s: %w; before it: %q", seed, i, name, err, x.did)
		}
	}
	if err := x.reopen(); err != nil {
		return err
	}
	return x.arrived()
}

// choose is the next operation. What is cheap comes more often.
func (x *fsx) choose() (name string, do func() error) {
	switch n := x.random.IntN(100); {
	case n < 22:
		return "write", x.write
	case n < 42:
		return "read", x.read
	case n < 52:
		return "write by a map", x.writeMapped
	case n < 60:
		return "read by a map", x.readMapped
	case n < 70:
		return "truncate", x.truncate
	case n < 76:
		return "punch", x.punch
	case n < 82:
		return "allocate", x.allocate
	case n < 88:
		return "copy", x.copy
	case n < 90 && x.posix:
		return "attributes", x.describe
	case n < 92:
		return "read by another descriptor", x.readAnew
	case n < 97:
		return "fsync", x.sync
	}
	return "close and open", x.reopen
}

func (x *fsx) open() (err error) {
	x.file, err = os.OpenFile(x.path, os.O_RDWR|os.O_CREATE, 0o644)
	return err
}

// piece is a random range of the file as it is; it is empty only if the file is.
func (x *fsx) piece() (from, to int) {
	if len(x.want) == 0 {
		return 0, 0
	}
	from = x.random.IntN(len(x.want))
	return from, min(len(x.want), from+1+x.random.IntN(fsxPiece))
}

// grow makes room for bytes up to an offset.
func (x *fsx) grow(size int) {
	if size > len(x.want) {
		x.want = append(x.want, make([]byte, size-len(x.want))...)
	}
}

// fill is random content; zeros are not, since they would look like a hole.
func (x *fsx) fill(p []byte) {
	for i := range p {
		p[i] = byte(1 + x.random.IntN(255))
	}
}

func (x *fsx) write() error {
	p := make([]byte, 1+x.random.IntN(fsxPiece))
	x.fill(p)
	off := x.random.IntN(fsxLargest)
	x.note("write %d at %d", len(p), off)
	x.grow(off + len(p))
	copy(x.want[off:], p)
	_, err := x.file.WriteAt(p, int64(off))
	return err
}

func (x *fsx) read() error { return x.compare(x.file) }

func (x *fsx) readAnew() error {
	f, err := os.Open(x.path)
	if err != nil {
		return err
	}
	return errors.Join(x.compare(f), x.described(f), f.Close())
}

// describe gives the file another mode and attribute.
func (x *fsx) describe() error {
	x.mode, x.xattr = 0o600|os.FileMode(x.random.IntN(0o200)), strings.Repeat("x", 1+x.random.IntN(100))
	x.note("mode %o, attribute of %d", x.mode, len(x.xattr))
	return errors.Join(os.Chmod(x.path, x.mode), unix.Fsetxattr(int(x.file.Fd()), fsxAttribute, []byte(x.xattr), 0))
}

// described compares mode and attribute with what was given last.
func (x *fsx) described(f *os.File) error {
	if !x.posix || x.xattr == "" {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	value := make([]byte, 200)
	n, err := unix.Fgetxattr(int(f.Fd()), fsxAttribute, value)
	if err != nil {
		return err
	}
	if got := string(value[:n]); info.Mode() != x.mode || got != x.xattr {
		return fmt.Errorf("it has mode %o and an attribute of %d, should have %o and %d", info.Mode(), n, x.mode, len(x.xattr))
	}
	return nil
}

// compare reads a random piece of the file.
func (x *fsx) compare(f *os.File) error {
	from, to := x.piece()
	p := make([]byte, to-from+1)
	n, err := f.ReadAt(p, int64(from))
	if err != nil && err != io.EOF {
		return err
	}
	return x.same(p[:min(n, to-from)], from, to)
}

// same tells where what was found at from differs from what should be there.
func (x *fsx) same(got []byte, from, to int) error {
	want := x.want[from:to]
	if bytes.Equal(got, want) {
		return nil
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return fmt.Errorf("of %d bytes at %d, %d are there, and that at %d is not %#x: %s", len(want), from, len(got), from+i, want[i], outline(got[min(i, len(got)):]))
		}
	}
	return fmt.Errorf("%d bytes more than there should be", len(got)-len(want))
}

// mapped calls do with a shared map of the whole file.
func (x *fsx) mapped(do func(p []byte) error) error {
	if len(x.want) == 0 {
		return nil
	}
	p, err := unix.Mmap(int(x.file.Fd()), 0, len(x.want), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(do(p), unix.Munmap(p))
}

func (x *fsx) writeMapped() error {
	return x.mapped(func(p []byte) error {
		from, to := x.piece()
		x.note("write by map %d at %d", to-from, from)
		x.fill(p[from:to])
		copy(x.want[from:to], p[from:to])
		if x.random.IntN(2) == 0 {
			return unix.Msync(p, unix.MS_SYNC)
		}
		return nil
	})
}

func (x *fsx) readMapped() error {
	return x.mapped(func(p []byte) error {
		from, to := x.piece()
		return x.same(p[from:to], from, to)
	})
}

func (x *fsx) truncate() error {
	size := x.random.IntN(fsxLargest)
	x.note("truncate %d", size)
	x.want = x.want[:min(size, len(x.want)):min(size, len(x.want))]
	x.grow(size)
	if x.random.IntN(4) == 0 {
		return os.Truncate(x.path, int64(size))
	}
	return x.file.Truncate(int64(size))
}

func (x *fsx) punch() error {
	from, to := x.piece()
	if from == to {
		return nil
	}
	x.note("zero %d at %d", to-from, from)
	clear(x.want[from:to])
	mode := []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE}[x.random.IntN(2)]
	return unix.Fallocate(int(x.file.Fd()), mode, int64(from), int64(to-from))
}

func (x *fsx) allocate() error {
	off, length := x.random.IntN(fsxLargest), 1+x.random.IntN(fsxPiece)
	x.note("allocate %d at %d", length, off)
	x.grow(off + length)
	return unix.Fallocate(int(x.file.Fd()), 0, int64(off), int64(length))
}

// copy has the kernel copy a piece to where it does not overlap.
func (x *fsx) copy() error {
	from, to := x.piece()
	if from == to {
		return nil
	}
	target := to + x.random.IntN(1+max(0, fsxLargest-to))
	x.note("copy %d from %d to %d", to-from, from, target)
	x.grow(target + to - from)
	copy(x.want[target:], x.want[from:to])
	in, out := int64(from), int64(target)
	for left := to - from; left > 0; {
		n, err := unix.CopyFileRange(int(x.file.Fd()), &in, int(x.file.Fd()), &out, left, 0)
		if err != nil || n == 0 {
			return fmt.Errorf("%d bytes are left to be copied: %w", left, err)
		}
		left -= n
	}
	return nil
}

func (x *fsx) sync() error {
	x.note("fsync")
	if err := x.file.Sync(); err != nil {
		return err
	}
	return x.stored()
}

// reopen closes the file after a last write: without one close need not wait.
func (x *fsx) reopen() error {
	if err := x.write(); err != nil {
		return err
	}
	x.note("close")
	if err := x.file.Close(); err != nil {
		return err
	}
	if err := x.stored(); err != nil {
		return fmt.Errorf("the bucket after close: %w", err)
	}
	return x.open()
}

// stored compares what the bucket has. Where that comes later, it is now and then waited for.
func (x *fsx) stored() error {
	if !x.behind {
		return x.inBucket()
	}
	if x.random.IntN(8) > 0 {
		return nil
	}
	return x.arrived()
}

// arrived waits until the bucket has what the file has.
func (x *fsx) arrived() (err error) {
	if !x.behind {
		return x.inBucket()
	}
	if !holdsWithin(patience, func() bool { err = x.inBucket(); return err == nil }) {
		return err
	}
	return nil
}

func (x *fsx) inBucket() error {
	got, err := os.ReadFile(x.object)
	if err != nil {
		return err
	}
	return x.same(got, 0, len(x.want))
}
