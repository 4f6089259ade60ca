package fs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
)

func (s *wholeSource) FetchSpare(ctx context.Context, v objstore.Version) (asked, full bool, err error) {
	if s.cached(v) > 0 {
		return false, false, nil
	}
	body, err := s.store.Open(ctx, v, objstore.Range{Len: v.Size})
	if err != nil {
		return true, false, err
	}
	data, err := io.ReadAll(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[v] = data
	return true, false, err
}

// siblingsDriver has a listed directory of files 00 to 39. open opens one and returns what all has cost since the last
// time.
func siblingsDriver(t *testing.T, change func(*Config)) (d *driver, b *fakeBucket, open func(i int) (requests []string)) {
	b = newFakeBucket()
	for i := range 40 {
		b.put(fmt.Sprintf("dir/%02d", i), contentOf(fmt.Sprint(i), 1000))
	}
	cfg, source := testConfig(t, b)
	cfg.Spare = source
	if change != nil {
		change(&cfg)
	}
	d = newDriver(t, cfg)
	dir := d.node("dir")
	d.list(dir, 4096, false)
	synctest.Wait()
	b.requests()
	return d, b, func(i int) []string {
		t.Helper()
		for range 2 { // as the kernel does after ESTALE
			var out fuse.EntryOut
			if status := d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, fmt.Sprintf("%02d", i), &out); status != fuse.OK {
				t.Fatal(status)
			}
			handle, status := d.open(out.NodeId, syscall.O_RDONLY)
			if status == estale {
				continue
			}
			if status != fuse.OK {
				t.Fatal(status)
			}
			reply, status := d.fs.Read(nil, &fuse.ReadIn{Fh: handle, Size: 1000}, nil)
			if status != fuse.OK {
				t.Fatal(status)
			}
			reply.Done()
			d.release(out.NodeId, handle)
			break
		}
		synctest.Wait()
		return b.requests()
	}
}

// TestSiblingsAreBroughtOnce: the fourth file that is opened has others brought, one GET each, and when they are opened
// they cost nothing, also when the listing is too old by then.
func TestSiblingsAreBroughtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, open := siblingsDriver(t, nil)
		d.pass(time.Hour) // the GETs are the check
		var all []string
		for n, i := range []int{17, 3, 38, 20, 5, 30, 31, 2, 9, 11} {
			got := open(i)
			if n < 3 && len(got) != 1 {
				t.Errorf("opening %02d costs %q", i, got)
			}
			all = append(all, got...)
		}
		for i := range 40 {
			all = append(all, open(i)...)
		}
		slices.Sort(all)
		for i := range 40 {
			if i >= len(all) || all[i] != fmt.Sprintf("GET dir/%02d", i) {
				t.Fatalf("all files cost %q", all)
			}
		}
		if len(all) != 40 {
			t.Errorf("all files cost %q", all[40:])
		}
		if s := d.fs.stats().Siblings; s.Asked != s.Used || s.Asked < 25 || s.Wasted != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestSiblingsAreCheckedAfterTheTTL: what was brought ahead is no answer of the store for longer than others are, and a
// file that was replaced meanwhile is read anew.
func TestSiblingsAreCheckedAfterTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, open := siblingsDriver(t, nil)
		for i := range 10 {
			open(i)
		}
		b.put("dir/20", contentOf("other", 1000))
		d.pass(59 * time.Second)
		if got := open(30); len(got) != 0 {
			t.Errorf("within the TTL: %q", got)
		}
		d.pass(time.Second)
		if got := open(31); !slices.Equal(got, []string{"HEAD dir/31"}) {
			t.Errorf("after the TTL: %q", got)
		}
		if got := open(20); !slices.Contains(got, "HEAD dir/20") || !slices.Contains(got, "GET dir/20") {
			t.Errorf("replaced: %q", got)
		}
	})
}

// TestSiblingsNeedTime: where each open asks the store, nothing is brought ahead.
func TestSiblingsNeedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, open := siblingsDriver(t, func(c *Config) { c.MetadataTTL = 0 })
		for i := range 10 {
			open(i)
		}
		if s := d.fs.stats().Siblings; s.Asked != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// siblingUnderWay is a driver whose file 30 is being brought ahead of its opening, by a GET that does not end until it
// is let, and the node of that file.
func siblingUnderWay(t *testing.T) (d *driver, b *fakeBucket, id uint64) {
	d, b, open := siblingsDriver(t, nil)
	d.pass(time.Hour) // so that the GET is the check
	b.stall("GET dir/30")
	for i := range 10 {
		open(i)
	}
	<-b.reached
	return d, b, d.node("dir/30")
}

// TestSiblingUnderWayInterrupted: an open that waits for a file which is being brought ahead ends at once when its
// caller is killed. The file goes on coming for who opens it next.
func TestSiblingUnderWayInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, id := siblingUnderWay(t)
		d.fs.signals = func(uint32) signalState { return signalsFatal }
		killed, answered := make(chan struct{}), make(chan fuse.Status, 1)
		go func() {
			var out fuse.OpenOut
			answered <- d.fs.Open(killed, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: id}}, &out)
		}()
		synctest.Wait()
		began := time.Now()
		close(killed)
		if status := <-answered; status != fuse.EINTR || time.Since(began) != 0 {
			t.Errorf("%v after %v", status, time.Since(began))
		}
		if files := d.fs.stats().Files; files != 0 {
			t.Errorf("%d files are open", files)
		}
		b.requests()
		b.resume("GET dir/30")
		synctest.Wait()
		handle, status := d.open(id, syscall.O_RDONLY)
		if status != fuse.OK {
			t.Fatal(status)
		}
		d.release(id, handle)
		if got := b.requests(); len(got) != 0 {
			t.Errorf("opened again it costs %q", got)
		}
	})
}

// TestSiblingUnderWayOfAMountThatEnds: nobody waits for what is being brought ahead when the mount ends.
func TestSiblingUnderWayOfAMountThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, id := siblingUnderWay(t)
		answered := make(chan fuse.Status, 1)
		go func() {
			_, status := d.open(id, syscall.O_RDONLY)
			answered <- status
		}()
		synctest.Wait()
		d.fs.stop()
		if status := <-answered; status != fuse.EINTR {
			t.Error(status)
		}
	})
}

// TestSiblingLostIsNotUsed: a file that was brought ahead, is not here any more and is gone from the store when it is
// opened counts as brought for nothing.
func TestSiblingLostIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source *wholeSource
		d, b, open := siblingsDriver(t, func(c *Config) { source = c.Spare.(*wholeSource) })
		for i := range 10 {
			open(i)
		}
		id := d.node("dir/30")
		source.mu.Lock()
		clear(source.held)
		source.mu.Unlock()
		b.remove("dir/30")
		before := d.fs.stats().Siblings
		if _, status := d.open(id, syscall.O_RDONLY); status != estale {
			t.Error(status)
		}
		if after := d.fs.stats().Siblings; after.Used != before.Used || after.Wasted != before.Wasted+1 {
			t.Errorf("%+v, before %+v", after, before)
		}
	})
}
