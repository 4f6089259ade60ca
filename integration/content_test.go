package integration

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

const (
	kib   = int64(1) << 10
	mib   = int64(1) << 20
	block = mib      // the unit of presence in the cache
	chunk = 16 * mib // the unit of a GET
)

// boundarySizes are the sizes around every boundary that the layers know.
func boundarySizes() []int64 {
	return []int64{0, 1, 4095, 4096, 4097, block - 1, block, block + 1, chunk - 1, chunk, chunk + 1, 2*chunk + 1, 5*chunk + 1}
}

// read, pread, readv, mmap, sendfile and O_DIRECT give exactly the object's bytes, at every size.
func TestContentByEveryMethod(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	var want []string
	for i, size := range boundarySizes() {
		want = append(want, b.put(fmt.Sprint("size/", size), pattern(i), size).sha256())
	}
	for _, method := range slices.Sorted(maps.Keys(methods())) {
		t.Run(method, func(t *testing.T) {
			// A mount of its own, so that nothing is answered from the page cache of another method.
			checkContent(t, mountBucket(t, b), method, want)
		})
	}
}

// `--read-mode direct` reads every file past the kernel's page cache; mmap works there too.
func TestContentInDirectMode(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	var want []string
	for i, size := range boundarySizes() {
		want = append(want, b.put(fmt.Sprint("size/", size), pattern(i), size).sha256())
	}
	m := mountBucket(t, b, "--read-mode", "direct")
	for _, method := range []string{"read", "pread", "readv"} {
		checkContent(t, m, method, want)
	}
	if resident := residentPages(t, m.path("size", fmt.Sprint(chunk))); resident != 0 {
		t.Errorf("%d pages are in the kernel's page cache", resident)
	}
	checkContent(t, m, "mmap", want)
}

func checkContent(t *testing.T, m *mount, method string, want []string) {
	t.Helper()
	var paths []string
	for _, size := range boundarySizes() {
		paths = append(paths, m.path("size", fmt.Sprint(size)))
	}
	got, err := sums(t, method, paths...)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range boundarySizes() {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("%s of %d bytes: the sum differs", method, size)
		}
	}
}
