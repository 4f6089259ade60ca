package fs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// shelf has local files of versions, for tests of passing through to them.
type shelf struct {
	dir string

	mu     sync.Mutex // guards what is below
	whole  map[string]bool
	leased int
}

func newShelf(t *testing.T, cfg *Config, keys ...string) *shelf {
	s := &shelf{dir: t.TempDir(), whole: map[string]bool{}}
	for _, key := range keys {
		s.whole[key] = true
	}
	cfg.Lease = s.lease
	t.Cleanup(func() {
		if s.leased != 0 {
			t.Errorf("%d leases are left", s.leased)
		}
	})
	return s
}

// local is what the shelf's file of a version has in place of the store's content, so that one sees who answers.
func local(v objstore.Version) []byte {
	return bytes.Repeat([]byte("local "+v.ETag+"\n"), int(v.Size))[:v.Size]
}

func (s *shelf) lease(v objstore.Version) (*os.File, func(), bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.whole[v.Key] {
		return nil, nil, false
	}
	path := filepath.Join(s.dir, v.Key+v.ETag)
	if _, err := os.Stat(path); err != nil { // else somebody may be reading it
		if err := os.WriteFile(path, local(v), 0o600); err != nil {
			panic(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	s.leased++
	var once sync.Once
	return f, func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.leased--
			_ = f.Close()
		})
	}, true
}

func (s *shelf) set(key string, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole[key] = whole
}

// readAs opens a file and reads all of it, and returns the file with its content.
func readAs(t *testing.T, path string, flags int) (*os.File, []byte) {
	t.Helper()
	f, err := openHere(path, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, content(t, f)
}

// openHere is os.Open without the poll by which it finds out what kind of file it has: the runtime blocks a processor
// meanwhile, which may leave none to answer it here.
func openHere(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func content(t *testing.T, f *os.File) []byte {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, st.Size())
	if _, err := f.ReadAt(got, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return got
}

// mappedContent is a file's content by way of a mapping. It must be one that passes through: a page fault that this
// process would have to answer itself might wait for ever.
func mappedContent(t *testing.T, f *os.File) []byte {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(m) })
	return m
}

// TestPassthrough: the kernel reads what is local by itself; a file that is open in cached mode goes on so beside it;
// and an object that was replaced is read as it was by who has it open, and as it is by who opens it.
func TestPassthrough(t *testing.T) {
	b := newFakeBucket()
	remote := contentOf("file", 3<<20)
	b.put("file", remote)
	cfg, _ := testConfig(t, b)
	cfg.MetadataTTL = 0
	shelf := newShelf(t, &cfg)
	s, dir := mounted(t, cfg, MountOptions{})
	path := filepath.Join(dir, "file")

	cached, got := readAs(t, path, 0)
	if !bytes.Equal(got, remote) {
		t.Fatal("wrong bytes before it is local")
	}
	shelf.set("file", true)
	reads := s.Stats().Reads
	passing, got := readAs(t, path, 0) // while the other is open in cached mode
	if !bytes.HasPrefix(got, []byte("local ")) {
		t.Fatal("what is local is not read from there")
	}
	third, _ := readAs(t, path, 0)
	if st := s.Stats(); st.Passthrough != 2 || st.Reads != reads {
		t.Errorf("%d opens pass through, %d reads reached the process", st.Passthrough, st.Reads-reads)
	}
	if again := content(t, cached); !bytes.Equal(again, remote) {
		t.Error("the handle in cached mode changed its content")
	}
	if got := mappedContent(t, passing); !bytes.HasPrefix(got, []byte("local ")) {
		t.Error("mapping in passthrough mode: wrong bytes")
	}
	shelf.set("file", false) // nobody gets it any more, but who has it keeps it
	if fourth, got := readAs(t, path, 0); !bytes.HasPrefix(got, []byte("local ")) {
		t.Error("beside handles that pass through, one does not")
	} else {
		_ = fourth.Close()
	}
	b.put("file", contentOf("other", 2<<20))
	if _, got := readAs(t, path, 0); !bytes.Equal(got, contentOf("other", 2<<20)) {
		t.Error("who opens it now does not get what is stored now")
	}
	if got := content(t, passing); len(got) != 3<<20 || !bytes.HasPrefix(got, []byte("local ")) {
		t.Error("who has it open does not get what it was any more")
	}
	_ = third.Close()
}

// TestPassthroughRaces: opens in every mode at the same time, of a file that becomes local and ceases to be, never
// fail.
func TestPassthroughRaces(t *testing.T) {
	b := newFakeBucket()
	remote := contentOf("file", 2<<20)
	b.put("file", remote)
	cfg, _ := testConfig(t, b)
	shelf := newShelf(t, &cfg)
	s, dir := mounted(t, cfg, MountOptions{})
	path := filepath.Join(dir, "file")
	var readers sync.WaitGroup
	for i := range 6 {
		flags := 0
		if i%3 == 0 {
			flags = unix.O_DIRECT
		}
		readers.Go(func() {
			buffer := make([]byte, 3<<12)
			at := -int(addressOf(buffer)) & 4095
			for n := range 150 {
				f, err := openHere(path, flags)
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				if _, err := f.ReadAt(buffer[at:at+4096], int64(n%500)*4096); err != nil {
					t.Errorf("read: %v", err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				shelf.set("file", (n+i)%3 > 0)
			}
		})
	}
	readers.Wait()
	if s.Stats().Passthrough == 0 {
		t.Error("nothing passed through")
	}
}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
