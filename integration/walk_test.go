package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Programs that walk through a tree (find, ls -R, os.walk) have the directories that come next listed ahead: each is
// listed once, and several at a time.
func TestWalkIsListedAhead(t *testing.T) {
	t.Parallel()
	const directories = 60
	b := newBucket(t)
	for i := range directories {
		b.putText(fmt.Sprintf("dir-%02d/a", i), "a")
		b.putText(fmt.Sprintf("dir-%02d/below/b", i), "b")
	}
	p := newProxy(t, b.server.Endpoint())
	p.inject(&fault{operation: "LIST", act: func(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
		time.Sleep(20 * time.Millisecond) // a store that is far away
		next.ServeHTTP(w, r)
	}})
	for name, walk := range map[string]func(m *mount) string{
		"find":  func(m *mount) string { return m.shell(`find "$MNT" -type f`) },
		"ls -R": func(m *mount) string { return m.shell(`ls -1R "$MNT" | grep '^[ab]$'`) },
		"os.walk": func(m *mount) string {
			return m.python("import os, sys\nfor _, _, files in os.walk(sys.argv[1]): print(*files, sep='\\n', end='\\n' if files else '')")
		},
	} {
		m := mountThrough(t, b, p, "--metadata-ttl", "10m")
		p.take(t)
		if files := len(strings.Fields(walk(m))); files != 2*directories {
			t.Errorf("%s finds %d files", name, files)
		}
		times := make(map[string]int)
		for _, line := range p.take(t) {
			times[line]++
			if operation, _, _ := strings.Cut(line, " "); operation != "LIST" || times[line] > 1 {
				t.Errorf("%s: %d times %s", name, times[line], line)
			}
		}
		if len(times) != 1+2*directories {
			t.Errorf("%s costs %d listings of %d directories", name, len(times), 1+2*directories)
		}
		m.stop()
	}
	if most := p.mostAtOnce(); most < 4 {
		t.Errorf("%d listings at once at most", most)
	}
}
