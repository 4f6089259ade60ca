package names

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

func newTestMemory(limit int) (*memory, *clock) {
	c := newClock()
	m := newMemory(Config{TTL: time.Second, MaxCached: limit, Now: c.Now})
	return &m, c
}

func TestAnAnswerDoesNotReplaceALaterOne(t *testing.T) {
	m, _ := newTestMemory(100)
	a := address{"d/", "a"}
	early, late := m.stamp(), m.stamp()
	m.remember(a, answer{item: Item{Key: "late"}, found: true, asked: late})
	m.remember(a, answer{item: Item{Key: "early"}, found: true, asked: early})
	if ans, ok := m.lookup(a); !ok || ans.item.Key != "late" {
		t.Errorf("%+v, %v", ans, ok)
	}
}

func TestMetadataIsNotKept(t *testing.T) {
	m, _ := newTestMemory(100)
	a := address{"d/", "a"}
	item := Item{Entry: objstore.Entry{Metadata: map[string]string{"k": strings.Repeat("v", 2000)}}}
	m.remember(a, answer{item: item, found: true, asked: m.stamp()})
	if ans, ok := m.lookup(a); !ok || ans.item.Entry.Metadata != nil {
		t.Errorf("%+v, %v", ans, ok)
	}
}

// When more names are forgotten than can be noted, no answer from before is believed, whatever its name.
func TestMoreForgottenThanCanBeNoted(t *testing.T) {
	m, _ := newTestMemory(100)
	a := address{"d/", "a"}
	asked := m.stamp()
	m.forget(a)
	for i := range maxForgotten {
		m.forget(address{"d/", fmt.Sprint(i)})
	}
	m.remember(a, answer{found: true, asked: asked})
	if ans, ok := m.lookup(a); ok {
		t.Errorf("believed: %+v", ans)
	}
	m.remember(a, answer{found: true, asked: m.stamp()})
	if _, ok := m.lookup(a); !ok {
		t.Error("what was asked since is not believed")
	}
}

// A listing that grows makes room at the cost of the others, even if it was begun first.
func TestGrowingListingIsInUse(t *testing.T) {
	m, _ := newTestMemory(20)
	first, second := newListing("1/", m.stamp()), newListing("2/", m.stamp())
	grow := func(l *listing, n int) {
		l.blocks = append(l.blocks, newBlock(make([]record, n), m.stamp()))
		l.names += n
		m.grown(l, n)
	}
	m.keep(first)
	m.keep(second)
	grow(second, 9)
	grow(first, 8)
	m.keep(newListing("3/", m.stamp()))
	grow(first, 1)
	if !first.kept || second.kept || m.names != 10+1 {
		t.Errorf("kept: %v, %v; %d names", first.kept, second.kept, m.names)
	}
}

// Of records from several pages, the age is that of the oldest: "a" is held back until the page after its own.
func TestAgeOfWhatIsHeldBack(t *testing.T) {
	c := classifier{}
	c.add(page([]string{"a"}), moment{seq: 1})
	c.add(page([]string{"a-b", "b"}), moment{seq: 2})
	records, asked := c.take()
	if len(records) != 2 || asked.seq != 1 {
		t.Errorf("%d records of %v", len(records), asked)
	}
	c.add(page([]string{"c"}), moment{seq: 3})
	if _, asked := c.take(); asked.seq != 2 {
		t.Errorf("the next are of %v", asked)
	}
}

// Some stores give a common prefix again at the start of the next page, or a marker among the entries, or keys as if
// there were no delimiter.
func TestListingsThatRepeatThemselves(t *testing.T) {
	c := classifier{dir: "d/"}
	for _, p := range []objstore.Page{
		{Prefixes: []string{"d/a/"}},
		{},
		{Prefixes: []string{"d/a/", "d/b/"}, Entries: []objstore.Entry{{Key: "d/b/"}, {Key: "d/c/d/e"}, {Key: "d/f"}}},
		{Prefixes: []string{"d/", "x/"}, Entries: []objstore.Entry{{Key: "d/f"}, {Key: "x"}}},
	} {
		c.add(p, moment{})
		c.check(t)
	}
	c.finish()
	var shown []string
	for _, r := range c.records {
		shown = append(shown, r.name)
	}
	if want := []string{"a", "b", "c", "f"}; !slices.Equal(shown, want) {
		t.Errorf("%q, want %q", shown, want)
	}
}

// A page is as old as its own request, or that of the page before where it has a name that was held back there, not as
// the listing.
func TestAgeOfALaterPage(t *testing.T) {
	f := numbered(40)
	f.page = 10
	tree, clock := newTree(t, f)
	f.setHook(func(context.Context, string) error {
		clock.advance(400 * time.Millisecond)
		return nil
	})
	s := tree.ReadDir(t.Context(), "d/")
	items := some(t, s, 5)
	rest := all(t, s)
	if first, last := items[0].Confirmed, rest[len(rest)-1].Confirmed; last.Sub(first) != 800*time.Millisecond {
		t.Errorf("first page %v, last page %v", first, last)
	}
}

// A question that is older than the TTL is not shared any more.
func TestOldQuestionIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		hook, open := gate("HEAD")
		f.setHook(hook)
		tree, clock := newTree(t, f)
		errs := make(chan error)
		for range 2 {
			go func() {
				_, err := tree.Lookup(t.Context(), "", "a")
				errs <- err
			}()
			synctest.Wait()
			f.expect(t, "HEAD a", "LIST a/ (1)")
			clock.advance(time.Second)
		}
		open()
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// A listing that its last reader has left is not joined, though its request has not ended yet.
func TestListingThatIsEndingIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(30)
		f.page = 10
		release := make(chan struct{})
		var requests int
		f.setHook(func(ctx context.Context, _ string) error {
			if requests++; requests == 2 {
				<-release // does not heed its context
			}
			return ctx.Err()
		})
		tree, _ := newTree(t, f)
		s := tree.ReadDir(t.Context(), "d/")
		some(t, s, 1)
		synctest.Wait()
		s.Close()
		if n := len(all(t, tree.ReadDir(t.Context(), "d/"))); n != 30 {
			t.Errorf("%d items", n)
		}
		close(release)
	})
}
