package names

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate makes the requests that begin with prefix wait until they are let go or their context ends.
func gate(prefix string) (hook func(context.Context, string) error, open func()) {
	opened := make(chan struct{})
	return func(ctx context.Context, request string) error {
		if !strings.HasPrefix(request, prefix) {
			return nil
		}
		select {
		case <-opened:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, sync.OnceFunc(func() { close(opened) })
}

func TestDirectoryIsNotKeptWaitingForTheObject(t *testing.T) {
	f := newFake("d/a")
	f.hook, _ = gate("HEAD")
	tree, _ := newTree(t, f)
	if item, err := tree.Lookup(t.Context(), "", "d"); err != nil || !item.Dir {
		t.Errorf("%+v, %v", item, err)
	}
}

func TestLookupsAtOnceShareTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		hook, open := gate("HEAD")
		f.hook = hook
		tree, _ := newTree(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 10)
		for i := range 10 {
			waiting := ctx
			if i >= 3 {
				waiting = t.Context()
			}
			go func() {
				_, err := tree.Lookup(waiting, "", "a")
				errs <- err
			}()
		}
		synctest.Wait()
		cancel() // three give up, and only they
		synctest.Wait()
		for range 3 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("one who gave up got %v", err)
			}
		}
		if len(errs) != 0 {
			t.Errorf("the others got %v", <-errs)
		}
		open()
		for range 7 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		f.expect(t, "HEAD a", "LIST a/ (1)")
	})
}

func TestLookupThatNobodyWaitsForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		ended := make(chan struct{})
		f.hook = func(ctx context.Context, request string) error {
			if strings.HasPrefix(request, "HEAD") {
				<-ctx.Done()
				close(ended)
			}
			return ctx.Err()
		}
		tree, _ := newTree(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tree.Lookup(ctx, "", "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-ended
		f.setHook(nil)
		if _, err := tree.Lookup(t.Context(), "", "a"); err != nil {
			t.Errorf("the next lookup: %v", err)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		f.hook, _ = gate("")
		tree, _ := newTree(t, f)
		errs := make(chan error, 2)
		go func() {
			_, err := tree.Lookup(t.Context(), "", "a")
			errs <- err
		}()
		go func() {
			s := tree.ReadDir(t.Context(), "")
			defer s.Close()
			_, err := s.Next(t.Context())
			errs <- err
		}()
		synctest.Wait()
		tree.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if _, err := tree.Lookup(t.Context(), "", "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// What was asked before a name is forgotten is not believed after it, even where the answer comes later.
func TestForgetWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a")
		hook, open := gate("LIST")
		f.hook = hook
		tree, _ := newTree(t, f)
		answered := make(chan Item)
		go func() {
			item, _ := tree.Lookup(t.Context(), "", "a")
			answered <- item
		}()
		synctest.Wait() // the object has been told, the directory not yet
		f.put("a", "new")
		tree.Forget("", "a")
		f.take()
		go func() {
			item, _ := tree.Lookup(t.Context(), "", "a")
			answered <- item
		}()
		synctest.Wait()
		f.expect(t, "HEAD a", "LIST a/ (1)")
		open()
		etags := []string{(<-answered).Entry.ETag, (<-answered).Entry.ETag}
		slices.Sort(etags)
		if !slices.Equal(etags, []string{"etag", "new"}) {
			t.Errorf("answers %q", etags)
		}
		if item, err := tree.Lookup(t.Context(), "", "a"); err != nil || item.Entry.ETag != "new" {
			t.Errorf("remembered: %+v, %v", item, err)
		}
		f.expect(t)
	})
}
