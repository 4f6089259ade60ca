package journal

import (
	"testing"

	"github.com/headrace/headrace/objstore"
)

// BenchmarkNote is what a step costs who writes.
func BenchmarkNote(b *testing.B) {
	d, err := Create(b.TempDir(), Owner{})
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		u, err := d.Begin(Begin{Key: "k"})
		if err != nil {
			b.Error(err)
			return
		}
		for n := int64(0); pb.Next(); n++ {
			if err := u.Note(Part{Part: objstore.Part{Number: int(n%10_000) + 1, ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: 64 << 20}, Off: n << 26}); err != nil {
				b.Error(err)
			}
		}
		if err := u.Remove(); err != nil {
			b.Error(err)
		}
	})
	if err := d.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkSmallFile is what the journal adds to a small file: its two files, the steps of its life, and their removal.
func BenchmarkSmallFile(b *testing.B) { benchmarkSmallFile(b, false) }

// BenchmarkSmallFileSynced is the same with the wait for the disk that --write-back has.
func BenchmarkSmallFileSynced(b *testing.B) { benchmarkSmallFile(b, true) }

func benchmarkSmallFile(b *testing.B, sync bool) {
	d, err := Create(b.TempDir(), Owner{})
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 16<<10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := smallFile(d, content, sync); err != nil {
				b.Error(err)
			}
		}
	})
	if err := d.Close(); err != nil {
		b.Error(err)
	}
}

func smallFile(d *Dir, content []byte, sync bool) error {
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		return err
	}
	if _, err := u.Data().WriteAt(content, 0); err != nil {
		return err
	}
	all := []objstore.Range{{Len: int64(len(content))}}
	if err := u.Note(Closed{Size: int64(len(content)), Local: all, Changed: all}); err != nil {
		return err
	}
	if sync {
		if err := u.Sync(); err != nil {
			return err
		}
	}
	if err := u.Note(Publishing{}); err != nil {
		return err
	}
	if err := u.Note(Stored{ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: int64(len(content))}); err != nil {
		return err
	}
	return u.Remove()
}
