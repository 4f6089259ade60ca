package objstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// Each request that changes objects is told with all its keys, before and after, also where it fails; no other is.
func TestTellChanges(t *testing.T) {
	store := memstore.New("bucket")
	var told []string
	b := objstore.TellChanges(store, func(keys ...string) {
		_, err := store.Stat(t.Context(), "to")
		told = append(told, fmt.Sprintf("%s (to is there: %v)", strings.Join(keys, " "), err == nil))
	})
	put := func(key string, cond objstore.Condition) (objstore.Version, error) {
		e, err := b.Put(t.Context(), key, strings.NewReader("x"), 1, cond, objstore.Attributes{})
		return objstore.VersionOf(b, e), err
	}
	from, err := put("from", objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	renamer, _ := objstore.AsRenamer(b)
	deleter, _ := objstore.AsVersionDeleter(b)
	for _, c := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"stat", func() error { _, err := b.Stat(t.Context(), "from"); return err }, nil},
		{"copy", func() error { _, err := b.Copy(t.Context(), "to", from, objstore.Condition{}); return err }, []string{"to (to is there: false)", "to (to is there: true)"}},
		{"delete", func() error { return b.Delete(t.Context(), "to") }, []string{"to (to is there: true)", "to (to is there: false)"}},
		{"rename", func() error { return renamer.Rename(t.Context(), "to", from, objstore.Condition{}) }, []string{"to from (to is there: false)", "to from (to is there: true)"}},
		{"put that fails", func() error {
			_, err := put("to", objstore.Condition{IfNew: true})
			return ignore(err, objstore.ErrExists)
		}, []string{"to (to is there: true)", "to (to is there: true)"}},
		{"parts", func() error {
			id, err := b.CreateUpload(t.Context(), "parts", objstore.Attributes{})
			if err != nil {
				return err
			}
			part, err := b.UploadPart(t.Context(), "parts", id, 1, strings.NewReader("x"), 1)
			if len(told) > 0 {
				t.Errorf("parts are told as changes: %q", told)
			}
			if err == nil {
				_, err = b.CompleteUpload(t.Context(), "parts", id, []objstore.Part{part}, objstore.Condition{})
			}
			return err
		}, []string{"parts (to is there: true)", "parts (to is there: true)"}},
		{"delete of a version", func() error {
			from.Key = "to"
			return deleter.DeleteVersion(t.Context(), from)
		}, []string{"to (to is there: true)", "to (to is there: false)"}},
	} {
		told = nil
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if !slices.Equal(told, c.want) {
			t.Errorf("%s: told %q, want %q", c.what, told, c.want)
		}
	}
}

// ignore is err, unless that is of a kind.
func ignore(err, kind error) error {
	if objstore.KindOf(err) == objstore.KindOf(kind) {
		return nil
	}
	return err
}

func TestTellChangesConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Bucket {
		return objstore.TellChanges(memstore.New("bucket"), func(...string) {})
	}, objstoretest.Quirks{})
}
