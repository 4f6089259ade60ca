package integration

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Opening and reading a file of 100 KiB in a directory that was listed is one GET.
func TestTraceSmallFile(t *testing.T) { checkTrace(t, "small-file") }

// `ls -l` of a directory of 999 files that was looked up before is one LIST.
func TestTraceListing(t *testing.T) { checkTrace(t, "listing") }

// stat of one name never lists its directory.
func TestTraceStat(t *testing.T) { checkTrace(t, "stat") }

// Making many files in a directory of up to 1,000 names costs one PUT each, and a listing for as long as names are
// good.
func TestTraceManyFiles(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("dir/there", 1, 5)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--metadata-ttl", "10m")
	m.write("first", "dir", "first")
	p.take(t)
	for n := range 100 {
		m.write("content", "dir", fmt.Sprint("new-", n))
	}
	counts := make(map[string]int)
	for _, line := range p.take(t) {
		operation, _, _ := strings.Cut(line, " ")
		counts[operation]++
	}
	if counts["PUT"] != 100 || counts["HEAD"] > 4 || counts["LIST"] > 5 {
		t.Errorf("100 files cost %v", counts)
	}
}

// Reading 64 MiB from start to end is four GETs of 16 MiB.
func TestTraceSequential(t *testing.T) { checkTrace(t, "sequential") }

// Writing a small file is one PUT at its close, under a condition.
//
// Making a temporary file, writing it and giving it its name before it is closed costs no more.
//
// Appending to or changing a large object sends what changed, and has the store copy the rest.
func TestTraceWrite(t *testing.T) { checkTrace(t, "write") }

// Extracting an archive costs one PUT a file, one a directory, and no listing of what this mount has made itself.
func TestTraceExtract(t *testing.T) { checkTrace(t, "extract") }

// An archive is made of files that are read once each and is one object; as a stream it is read in GETs of 16 MiB,
// however small its members.
func TestTraceArchive(t *testing.T) { checkTrace(t, "archive") }

// With --posix-metadata, each name that is looked up costs a HEAD, and each change of attributes of a stored file a
// HEAD and a copy on the store's side; attributes that are set before a file is closed cost nothing.
func TestTracePosix(t *testing.T) { checkTrace(t, "posix") }

// Not a promise, but worth a review when it changes: what other common doings cost.
func TestTraceCommonDoings(t *testing.T) { checkTrace(t, "common") }

// No more than `--max-concurrency` requests are under way at a time.
func TestMaxConcurrency(t *testing.T) {
	t.Parallel()
	const limit, readers = 4, 24
	b := newBucket(t)
	for i := range readers {
		b.put(fmt.Sprint("object-", i), pattern(i), 2*mib)
	}
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--max-concurrency", strconv.Itoa(limit))
	var reading errgroup.Group
	for i := range readers {
		reading.Go(func() error {
			_, err := os.ReadFile(m.path(fmt.Sprint("object-", i)))
			return err
		})
	}
	if err := reading.Wait(); err != nil {
		t.Error(err)
	}
	// The proxy learns of a request's end a little after the daemon, which may have begun the next one by then.
	if most := p.mostAtOnce(); most > 2*limit || most < 2 {
		t.Errorf("%d requests were under way at once", most)
	}
}

// checkTrace runs a golden trace, testdata/traces/NAME.txt: a script of commands with the requests that each costs.
//
//	mount FLAG...                how to mount, before everything else
//	objects KEY COUNT SIZE       stores COUNT objects; # in KEY is the number
//	marker KEY                   stores a directory's marker
//	replace KEY SIZE             stores another content, without a command
//	$ COMMAND                    for sh; the mount is mnt. The lines after it are the requests it costs, sorted
//	# ...                        a comment
//
// With -update, the requests are written anew.
func checkTrace(t *testing.T, name string) {
	t.Helper()
	t.Parallel()
	path := filepath.Join("testdata", "traces", name+".txt")
	want := string(must[[]byte](t)(os.ReadFile(path)))
	got := (&tracer{t: t, bucket: newBucket(t)}).run(want)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s costs other requests; run with -update and review the difference. Now:\n%s", path, got)
	}
}

// tracer plays the script of a golden trace.
type tracer struct {
	t       *testing.T
	bucket  *bucket
	proxy   *proxy
	mount   *mount
	flags   []string
	content pattern // of the last object stored
}

// run plays the script and returns it with the requests that were really made.
func (r *tracer) run(script string) string {
	r.t.Helper()
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(script))
	inRequests := false
	for lines.Scan() {
		line := lines.Text()
		if inRequests && line != "" {
			continue // as it was; what was made is already written
		}
		inRequests = false
		fmt.Fprintln(&out, line)
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			for _, request := range r.command(command) {
				fmt.Fprintln(&out, request)
			}
			inRequests = true
			continue
		}
		r.prepare(strings.Fields(line))
	}
	return out.String()
}

// prepare obeys a line that is no command.
func (r *tracer) prepare(words []string) {
	r.t.Helper()
	switch {
	case len(words) == 0 || words[0] == "#":
	case words[0] == "mount":
		r.flags = words[1:]
	case words[0] == "objects" && len(words) == 4:
		count, size := r.number(words[2]), r.number(words[3])
		for i := range count {
			r.content++
			r.bucket.put(strings.ReplaceAll(words[1], "#", fmt.Sprintf("%03d", i)), r.content, size)
		}
	case words[0] == "marker" && len(words) == 2:
		r.bucket.putMarker(words[1])
	case words[0] == "replace" && len(words) == 3:
		r.content++
		r.bucket.put(words[1], r.content, r.number(words[2]))
	default:
		r.t.Fatalf("what is this line? %q", words)
	}
}

// command runs one command and returns the requests it caused, those it caused in the background included.
func (r *tracer) command(command string) []string {
	r.t.Helper()
	if r.mount == nil {
		r.proxy = newProxy(r.t, r.bucket.server.Endpoint())
		r.mount = mountThrough(r.t, r.bucket, r.proxy, r.flags...)
		r.proxy.take(r.t) // what mounting costs is not the command's
	}
	r.mount.shell("{ " + command + "; } >/dev/null")
	const unfinished = "headrace_upload_files" // what was stored is taken over a little later, and read back without a request from then on
	eventually(r.t, patience, "files to be stored and taken over", func() bool { return r.mount.counters(unfinished)[unfinished] == 0 })
	return r.proxy.take(r.t)
}

// number reads 999, 100KiB or 64MiB.
func (r *tracer) number(word string) int64 {
	r.t.Helper()
	unit := int64(1)
	for suffix, factor := range map[string]int64{"KiB": kib, "MiB": mib} {
		if digits, ok := strings.CutSuffix(word, suffix); ok {
			word, unit = digits, factor
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return n * unit
}
