package names

import (
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// TestRecallAsksNothing: what was heard is given at any age, with its age; what was forgotten, or is not there, is not.
func TestRecallAsksNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	tree := New(nil, Config{TTL: time.Second, Now: func() time.Time { return now }})
	defer tree.Close()
	remember := func(name, etag string, found bool) {
		asked := tree.stamp()
		tree.mu.Lock()
		defer tree.mu.Unlock()
		item := Item{Name: name, Key: "d/" + name, Entry: objstore.Entry{ETag: etag}, Confirmed: asked.at}
		tree.memory.remember(address{"d/", name}, answer{item: item, found: found, asked: asked})
	}
	remember("a", "1", true)
	remember("none", "", false)
	now = now.Add(time.Hour)
	if item, ok := tree.Recall("d/", "a"); !ok || item.Entry.ETag != "1" || now.Sub(item.Confirmed) != time.Hour {
		t.Errorf("%+v, %v", item, ok)
	}
	for _, name := range []string{"none", "unheard"} {
		if item, ok := tree.Recall("d/", name); ok {
			t.Errorf("%s: %+v", name, item)
		}
	}
	remember("a", "2", true)
	if item, _ := tree.Recall("d/", "a"); item.Entry.ETag != "2" {
		t.Errorf("%+v", item)
	}
	tree.Forget("d/", "a")
	if item, ok := tree.Recall("d/", "a"); ok {
		t.Errorf("forgotten: %+v", item)
	}
}
