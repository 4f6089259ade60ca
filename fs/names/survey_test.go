package names

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// miss looks a name up that is not there.
func miss(t *testing.T, tree *Tree, dir, name string) {
	t.Helper()
	if _, err := tree.Lookup(t.Context(), dir, name); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("%s%s: %v", dir, name, err)
	}
}

// Names that are not there, several in a row in one directory, are answered by listing it once for as long as answers
// are good; what is there is found by it as well.
func TestSurvey(t *testing.T) {
	f := newFake("d/there", "d/sub/x")
	tree, clock := newTree(t, f)
	for round := range 3 {
		var asked []string
		for n := range burst {
			miss(t, tree, "d/", fmt.Sprint(round, "-", n))
			asked = append(asked, fmt.Sprint("HEAD d/", round, "-", n), fmt.Sprint("LIST d/", round, "-", n, "/ (1)"))
		}
		for n := range 100 {
			miss(t, tree, "d/", fmt.Sprint(round, "-more-", n))
		}
		if item, err := tree.Lookup(t.Context(), "d/", "there"); err != nil || item.Key != "d/there" {
			t.Errorf("what is there: %+v, %v", item, err)
		}
		if item, err := tree.Lookup(t.Context(), "d/", "sub"); err != nil || !item.Dir {
			t.Errorf("a directory: %+v, %v", item, err)
		}
		f.expect(t, append(asked, "LIST d/")...)
		clock.advance(time.Second)
	}
	miss(t, tree, "d/", "one")
	f.expect(t, "HEAD d/one", "LIST d/one/ (1)")
}

// A directory with many names, or whose listing takes long, is not listed for this, and not tried again for a while;
// one of some pages is.
func TestSurveyOfALargeDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		names int
		page  time.Duration // takes a page
		pages int           // asked for in five times that answers are good
	}{
		"some pages": {surveyed, 0, 5 * surveyed / 1000},
		"many":       {surveyed + 10, 0, surveyed/1000 + 1},
		"slow":       {1000, time.Second / surveyShare, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			for n := range c.names {
				f.put(fmt.Sprintf("d/%04d", n), "etag")
			}
			tree, clock := newTree(t, f)
			lists := 0
			f.setHook(func(_ context.Context, request string) error {
				if request == "LIST d/" {
					clock.advance(c.page)
					lists++
				}
				return nil
			})
			for range 5 {
				for n := range burst + 10 {
					miss(t, tree, "d/", fmt.Sprint("x", n))
				}
				clock.advance(time.Second)
			}
			if lists != c.pages {
				t.Errorf("%d pages of a directory of %d names were listed, should be %d", lists, c.names, c.pages)
			}
		})
	}
}

// Where nothing is remembered, each name is asked for; and a listing that fails leaves the question to be asked for the
// name itself.
func TestSurveyWhereItDoesNotHelp(t *testing.T) {
	f := newFake("d/there")
	tree, _ := newTree(t, f, func(cfg *Config) { cfg.TTL = 0 })
	for n := range 2 * burst {
		miss(t, tree, "d/", fmt.Sprint(n))
	}
	if got := len(f.take()); got != 4*burst {
		t.Errorf("%d requests for %d names", got, 2*burst)
	}
	f = newFake("d/there")
	f.setHook(func(_ context.Context, request string) error {
		if request == "LIST d/" {
			return objstore.ErrTimeout
		}
		return nil
	})
	tree, _ = newTree(t, f)
	for n := range 2 * burst {
		miss(t, tree, "d/", fmt.Sprint(n))
	}
	if item, err := tree.Lookup(t.Context(), "d/", "there"); err != nil || item.Key != "d/there" {
		t.Errorf("what is there: %+v, %v", item, err)
	}
}

// Many at the same time share the listing.
func TestSurveyShared(t *testing.T) {
	f := newFake("d/there")
	tree, _ := newTree(t, f)
	for n := range burst {
		miss(t, tree, "d/", fmt.Sprint(n))
	}
	f.take()
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() { miss(t, tree, "d/", fmt.Sprint("more", n)) })
	}
	all.Wait()
	f.expect(t, "LIST d/")
}
