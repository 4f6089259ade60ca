package disk

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// BenchmarkMountMillion mounts with a cache of a million chunks, from the start of the program until the mount answers,
// and with an empty one.
func BenchmarkMountMillion(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "headrace")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/headrace").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	front := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}}))
	defer front.Close()
	for _, full := range []bool{false, true} {
		name, dir := "empty", filepath.Join(b.TempDir(), "cache")
		if full {
			name = "million"
			millionChunks(b, dir)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				unmount := mountOnce(b, binary, front.URL, dir)
				b.StopTimer()
				unmount()
				b.StartTimer()
			}
		})
	}
}

// mountOnce starts a mount and returns when it answers, as the command does; unmount ends it.
func mountOnce(b *testing.B, binary, endpoint, cache string) (unmount func()) {
	b.Helper()
	dir := b.TempDir()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "mount", "s3://bucket", dir, "--endpoint", endpoint, "--cache-dir", cache, "--read-only", "--path-style")
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=r")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.FUSE_SUPER_MAGIC {
		b.Fatalf("it is not mounted: %v", err)
	}
	return func() {
		if out, err := exec.Command(binary, "umount", dir).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}
