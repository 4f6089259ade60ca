package fs

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	modelSeeds = flag.Uint64("seeds", 1000, "how many random histories the model test makes")
	modelFirst = flag.Uint64("first-seed", 0, "which it begins with")
)

// operation is one step of a history: a line of a script in testdata/model.
type operation struct {
	machine int    // 0 or 1; what is done past the mounts has one too, and it means nothing
	verb    string // see tree.apply
	handle  int    // one of the machine's descriptors
	path    string
	to      string // the new name, of a rename, or that of an extended attribute
	off     int
	n       int // bytes, flags of an open, or the mode
	fill    byte
}

const operationFormat = "%d %s %d %s %s %d %d %d"

func (o operation) String() string {
	return fmt.Sprintf(operationFormat, o.machine, o.verb, o.handle, o.path, o.to, o.off, o.n, o.fill)
}

func parseOperation(line string) (o operation, err error) {
	_, err = fmt.Sscanf(line, operationFormat, &o.machine, &o.verb, &o.handle, &o.path, &o.to, &o.off, &o.n, &o.fill)
	return o, err
}

// The names that histories are about: few, so that they meet.
var (
	modelDirs  = []string{"a", "b", "a/c"}
	modelFiles = []string{"f", "g", "a/f", "a/g", "b/f", "a/c/f"}
	modelVerbs = map[string]int{ // how often
		"open": 16, "write": 16, "append": 4, "read": 10, "truncate": 4, "cut": 2, "fsync": 5, "close": 12, "stat": 5, "list": 4,
		"unlink": 5, "rename": 9, "rename-dir": 3, "mkdir": 4, "rmdir": 2, "chmod": 3, "put": 3, "delete": 2, "remount": 1, "crash": 1,
		"symlink": 3, "readlink": 2, "put-link": 1, "setxattr": 4, "removexattr": 1, "getxattr": 2, "listxattr": 1, "flush": 2,
	}
	modelXattrs = []string{"user.a", "user.b"}
)

// randomHistory is as many operations as tell something.
func randomHistory(seed uint64) (history []operation) {
	rnd := rand.New(rand.NewPCG(seed, 11))
	var verbs []string
	for verb, often := range modelVerbs {
		verbs = append(verbs, slices.Repeat([]string{verb}, often)...)
	}
	slices.Sort(verbs)
	for range 10 + rnd.IntN(60) {
		o := operation{
			machine: rnd.IntN(2), verb: verbs[rnd.IntN(len(verbs))], handle: rnd.IntN(3), path: modelFiles[rnd.IntN(len(modelFiles))], to: "-",
			off: rnd.IntN(9000), n: rnd.IntN(6000), fill: byte(rnd.Uint32()),
		}
		switch o.verb {
		case "open":
			o.n = rnd.IntN(len(openFlags))
		case "rename":
			o.to, o.n = modelFiles[rnd.IntN(len(modelFiles))], rnd.IntN(4)
			if rnd.IntN(6) == 0 {
				o.to = modelDirs[rnd.IntN(len(modelDirs))]
			}
		case "rename-dir":
			o.path, o.to = modelDirs[rnd.IntN(len(modelDirs))], modelDirs[rnd.IntN(len(modelDirs))]
		case "mkdir", "rmdir":
			o.path = modelDirs[rnd.IntN(len(modelDirs))]
		case "list":
			if o.path = append(modelDirs, ".")[rnd.IntN(len(modelDirs)+1)]; o.path == "." {
				o.path = "/"
			}
		case "chmod":
			o.n = 0o400 + rnd.IntN(0o400)
		case "symlink", "put-link":
			o.n = rnd.IntN(200)
		case "setxattr", "removexattr", "getxattr":
			o.to, o.off, o.n = modelXattrs[rnd.IntN(len(modelXattrs))], rnd.IntN(4), rnd.IntN(60)
		}
		if (strings.HasSuffix(o.verb, "xattr") || o.verb == "chmod" || o.verb == "stat") && rnd.IntN(3) == 0 {
			o.path = modelDirs[rnd.IntN(len(modelDirs))]
		}
		history = append(history, o)
	}
	return history
}

// modelKind is how the mounts of a history are.
type modelKind struct{ posix, writeBack bool }

// kindOf is the kind of a seed's history: one in three keeps attributes, one in four answers before the store does.
func kindOf(seed uint64) modelKind { return modelKind{posix: seed%3 == 0, writeBack: seed%4 == 1} }

// String is the end of the name of a history that is kept.
func (k modelKind) String() (text string) {
	if k.posix {
		text += "-posix"
	}
	if k.writeBack {
		text += "-back"
	}
	return text
}

func kindNamed(name string) modelKind {
	return modelKind{posix: strings.Contains(name, "-posix"), writeBack: strings.Contains(name, "-back")}
}

// TestModel: whatever two mounts of one bucket, and others past them, do with files and directories in whatever order,
// with remounts and crashes in between, every answer is the one of an in-memory tree, and so is what the bucket holds
// after each. With write-back there is one mount, and the bucket is compared when nothing is due any more. A history
// that fails is made as short as it can be, and kept in testdata/model.
func TestModel(t *testing.T) {
	failed := 0
	for seed := *modelFirst; seed < *modelFirst+*modelSeeds && failed < 3; seed++ {
		history := randomHistory(seed)
		kind := kindOf(seed)
		if err := replayAnew(kind, history); err == nil {
			continue
		}
		failed++
		history = shrink(history, func(h []operation) bool { return replayAnew(kind, h) != nil })
		name := filepath.Join("testdata", "model", fmt.Sprintf("seed-%d%v.txt", seed, kind))
		t.Errorf("seed %d: %v, at the end of\n%s(kept as %s)", seed, replayAnew(kind, history), script(history), name)
		if err := os.WriteFile(name, []byte(script(history)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestModelKept: histories that once failed.
func TestModelKept(t *testing.T) {
	kept, err := filepath.Glob(filepath.Join("testdata", "model", "*.txt"))
	if err != nil || len(kept) == 0 {
		t.Fatalf("there are none: %v", err)
	}
	for _, name := range kept {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var history []operation
		for line := range strings.Lines(string(text)) {
			o, err := parseOperation(line)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			history = append(history, o)
		}
		if err := replayAnew(kindNamed(name), history); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func script(history []operation) string {
	var b strings.Builder
	for _, o := range history {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// shrink leaves out what a failure does not need: half of the history at a time, then less, down to single operations.
func shrink(history []operation, fails func([]operation) bool) []operation {
	for size := len(history) / 2; size > 0; size /= 2 {
		for again := true; again; {
			again = false
			for from := 0; from+size <= len(history); {
				shorter := slices.Concat(history[:from], history[from+size:])
				if fails(shorter) {
					history, again = shorter, size == 1
				} else {
					from += size
				}
			}
		}
	}
	return history
}

// TestShrink: what is left of a history is what it takes to fail, in order.
func TestShrink(t *testing.T) {
	history := randomHistory(1)
	for i := range history {
		history[i].off = i
	}
	fails := func(h []operation) bool {
		at := func(off int) int { return slices.IndexFunc(h, func(o operation) bool { return o.off == off }) }
		return at(3) >= 0 && at(7) > at(3) && at(len(history)-1) > 0
	}
	var left []int
	for _, o := range shrink(history, fails) {
		left = append(left, o.off)
	}
	if want := []int{3, 7, len(history) - 1}; !slices.Equal(left, want) {
		t.Errorf("%v are left, should be %v", left, want)
	}
}

// replayAnew is replay in a directory of its own, in memory where there is one: no history cuts the power, and waiting
// for a disk would be most of what they take.
func replayAnew(kind modelKind, history []operation) (err error) {
	root, err := os.MkdirTemp("/dev/shm", "headrace-model-")
	if err != nil {
		root, err = os.MkdirTemp("", "headrace-model-")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	return replay(root, kind, history)
}

// replay has a history happen to mounts and to the model; the error tells where they differ.
func replay(root string, kind modelKind, history []operation) (err error) {
	tree := newTree(kind)
	world, err := newWorld(root, kind)
	if err != nil {
		return err
	}
	defer func() {
		if failure := world.close(); err == nil {
			err = failure
		}
	}()
	for i, o := range history {
		if kind.writeBack { // what another mount sees depends on when the store hears of it
			o.machine = 0
		}
		want := tree.apply(o)
		if want.skip {
			continue
		}
		if err := world.do(o, want); err != nil {
			return fmt.Errorf("operation %d, %v: %w", i, o, err)
		}
		if kind.writeBack && !slices.Contains([]string{"flush", "crash", "remount"}, o.verb) { // the store need not have heard of it
			continue
		}
		if err := world.compare(tree); err != nil {
			return fmt.Errorf("after operation %d, %v: %w", i, o, err)
		}
	}
	return nil
}
