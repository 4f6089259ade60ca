package objstoretest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// listed is a whole listing.
type listed struct {
	keys, prefixes []string
	pages          int // with content
}

func (s *suite) list(opts objstore.ListOptions) listed {
	s.Helper()
	var l listed
	last := false
	for page, err := range s.bucket.List(s.Context(), opts) {
		s.must(err)
		if last {
			s.Error("a page came after the last")
		}
		last = page.Last
		n := len(page.Entries) + len(page.Prefixes)
		if opts.PageSize > 0 && n > opts.PageSize {
			s.Errorf("a page of %d, want at most %d", n, opts.PageSize)
		}
		if n > 0 {
			l.pages++
		}
		for _, e := range page.Entries {
			l.keys = append(l.keys, e.Key)
		}
		l.prefixes = append(l.prefixes, page.Prefixes...)
	}
	if s.quirks.Unordered != "" {
		slices.Sort(l.keys)
		slices.Sort(l.prefixes)
	}
	return l
}

func testList(s *suite) {
	for _, key := range []string{"a", "b/1", "b/2", "b/c/3", "b-x", "c", "c/", "cc/d"} {
		if key == "c/" && s.quirks.NoFileBesideDirectory != "" {
			key = "c2/"
		}
		content := []byte(key)
		if s.quirks.NoMarkerContent != "" && strings.HasSuffix(key, "/") {
			content = nil
		}
		s.put(key, content)
	}
	marker := "c/"
	if s.quirks.NoFileBesideDirectory != "" {
		marker = "c2/"
	}
	for _, c := range []struct {
		opts           objstore.ListOptions
		keys, prefixes []string
	}{
		{objstore.ListOptions{}, sorted("a", "b-x", "b/1", "b/2", "b/c/3", "c", marker, "cc/d"), nil},
		{objstore.ListOptions{Delimiter: "/"}, sorted("a", "b-x", "c"), sorted("b/", marker, "cc/")},
		{objstore.ListOptions{Prefix: "b/", Delimiter: "/"}, sorted("b/1", "b/2"), sorted("b/c/")},
		{objstore.ListOptions{Prefix: "b/"}, sorted("b/1", "b/2", "b/c/3"), nil},
		{objstore.ListOptions{Prefix: "b", Delimiter: "/"}, sorted("b-x"), sorted("b/")},
		{objstore.ListOptions{Prefix: marker, Delimiter: "/"}, sorted(marker), nil},
		{objstore.ListOptions{Prefix: "nothing/"}, nil, nil},
		{objstore.ListOptions{StartAfter: "b/1", Prefix: "b/"}, sorted("b/2", "b/c/3"), nil},
		{objstore.ListOptions{StartAfter: "b/11", Prefix: "b/"}, sorted("b/2", "b/c/3"), nil},
		{objstore.ListOptions{StartAfter: "b/2", Prefix: "b/", Delimiter: "/"}, nil, sorted("b/c/")},
		{objstore.ListOptions{StartAfter: "zzz"}, nil, nil},
	} {
		got := s.list(c.opts)
		if !slices.Equal(got.keys, c.keys) || !slices.Equal(got.prefixes, c.prefixes) {
			s.Errorf("%+v lists %q and %q, want %q and %q", c.opts, got.keys, got.prefixes, c.keys, c.prefixes)
		}
	}
	for page, err := range s.bucket.List(s.Context(), objstore.ListOptions{Prefix: "b/1"}) {
		s.must(err)
		for _, e := range page.Entries {
			stat, err := s.bucket.Stat(s.Context(), e.Key)
			s.must(err)
			if e.Size != 3 || e.ETag != stat.ETag || !e.ModTime.Equal(stat.ModTime) || e.ModTime.Nanosecond() != 0 {
				s.Errorf("LIST tells %+v, HEAD %+v", e, stat)
			}
		}
	}
}

func sorted(names ...string) []string {
	slices.Sort(names)
	return names
}

func testListPages(s *suite) {
	var keys []string
	for i := range 7 {
		keys = append(keys, fmt.Sprintf("d/k%d", i))
		s.put(keys[i], nil)
	}
	for i := range 5 {
		s.put(fmt.Sprintf("d/sub%d/x", i), nil)
		s.put(fmt.Sprintf("d/sub%d/y", i), nil)
	}
	for size := 1; size <= 13; size++ {
		got := s.list(objstore.ListOptions{Prefix: "d/", Delimiter: "/", PageSize: size})
		if !slices.Equal(got.keys, keys) || len(got.prefixes) != 5 || got.pages < (12+size-1)/size {
			s.Errorf("pages of %d: %q and %q on %d pages", size, got.keys, got.prefixes, got.pages)
		}
	}
}

func testListMany(s *suite) {
	const names = 1100 // more than one page of any store
	var want []string
	for i := range names {
		want = append(want, fmt.Sprintf("many/%05d", i))
	}
	var writers sync.WaitGroup
	failures := make(chan error, names)
	for w := range 8 {
		writers.Go(func() {
			for i := w; i < names; i += 8 {
				_, err := s.bucket.Put(s.Context(), want[i], bytes.NewReader(nil), 0, objstore.Condition{}, objstore.Attributes{})
				if err != nil {
					failures <- err
				}
			}
		})
	}
	writers.Wait()
	close(failures)
	for err := range failures {
		s.Fatal(err)
	}
	got := s.list(objstore.ListOptions{Prefix: "many/", Delimiter: "/"})
	if !slices.Equal(got.keys, want) || got.pages < 2 {
		s.Errorf("%d names on %d pages, want %d on two or more", len(got.keys), got.pages, names)
	}
}

func testListStop(s *suite) {
	for i := range 5 {
		s.put(fmt.Sprintf("k%d", i), nil)
	}
	seen := 0
	for page, err := range s.bucket.List(s.Context(), objstore.ListOptions{PageSize: 2}) {
		s.must(err)
		seen += len(page.Entries)
		break
	}
	if seen == 0 || seen > 2 {
		s.Errorf("%d names on the first page, want one or two", seen)
	}
}
