package fs

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"syscall"
)

// tree is what a bucket and two mounts of it should be: the reference of TestModel. It knows names and bytes, and
// nothing of requests, versions or caches.
type tree struct {
	modelKind
	objects  map[string]*object // by key; those of directories end in a slash
	machines [2]*view
}

type object struct {
	content []byte
	modelAttributes
}

// modelAttributes are what metadata says.
type modelAttributes struct {
	mode   uint32
	link   bool // a symbolic link, whose target is the content
	xattrs map[string]string
}

// view is what one machine has in hand.
type view struct {
	files   map[string]*modelFile // by path: what it has opened
	handles [3]*modelHandle
}

// modelFile is what the handles of one file share.
type modelFile struct {
	path    string
	content []byte
	modelAttributes
	base     *object // what the key is to hold when it is stored; nil for nothing
	handles  int
	written  bool // it was opened for writing, and some handle is open since
	dirty    bool
	only     bool // the name had to be new
	stored   bool // since it was opened for writing
	due      bool // its storing was acknowledged, and the store need not have heard of it yet
	removed  bool
	lost     syscall.Errno
	elsewise bool // its version may not be had any more
}

type modelHandle struct {
	*modelFile
	writes, only, unstored, ever bool
}

// answer is what an operation should give.
type answer struct {
	skip    bool // it depends on what nobody promises: it is left out
	errno   syscall.Errno
	content []byte
	stale   bool // ESTALE is as good
	names   []string
	size    int
	mode    uint32
	link    bool
}

func newTree(kind modelKind) *tree {
	t := &tree{modelKind: kind, objects: make(map[string]*object)}
	for i := range t.machines {
		t.machines[i] = &view{files: make(map[string]*modelFile)}
	}
	return t
}

var openFlags = []int{
	syscall.O_RDONLY, syscall.O_RDWR, syscall.O_RDWR | syscall.O_CREAT, syscall.O_RDWR | syscall.O_CREAT | syscall.O_TRUNC,
	syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL, syscall.O_RDWR | syscall.O_TRUNC,
}

func (t *tree) apply(o operation) answer {
	v := t.machines[o.machine]
	h := v.handles[o.handle]
	switch o.verb {
	case "open":
		if h != nil {
			return answer{skip: true}
		}
		return t.open(v, o)
	case "write", "append", "read", "truncate", "fsync", "close":
		if h == nil {
			return answer{skip: true}
		}
		return t.applyHandle(v, h, o)
	case "put", "put-link", "delete":
		return t.putElsewhere(v, o)
	case "remount", "crash":
		return t.end(v, o.verb == "remount")
	case "flush":
		return answer{skip: !t.flush(v)}
	}
	return t.applyName(v, o)
}

// same tells whether a key holds what a file is a change of: the store tells versions by their content.
func (t *tree) same(path string, base *object) bool {
	now := t.objects[path]
	return (now == nil) == (base == nil) && (now == nil || bytes.Equal(now.content, base.content))
}

// put gives a key other content, or none, whoever does.
func (t *tree) put(key string, o *object) {
	if o == nil {
		delete(t.objects, key)
	} else {
		t.objects[key] = o
	}
	for _, v := range t.machines {
		for _, f := range v.everything() {
			if f.path == key && !t.same(key, f.base) {
				f.elsewise = true
			}
		}
	}
}

// everything are the files that have a name or a handle.
func (v *view) everything() []*modelFile {
	all := make(map[*modelFile]bool)
	for _, f := range v.files {
		all[f] = true
	}
	for _, h := range v.handles {
		if h != nil {
			all[h.modelFile] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// look is what a path means; nil for no file.
func (t *tree) look(v *view, path string) *modelFile {
	f := v.files[path]
	if f != nil && f.written {
		return f
	}
	now := t.objects[path]
	if now == nil {
		return nil
	}
	if f == nil || !t.same(path, f.base) {
		f = &modelFile{path: path, content: now.content, base: now}
		v.files[path] = f
	}
	f.modelAttributes = now.modelAttributes
	return f
}

func (t *tree) isDir(v *view, path string) bool {
	if path == "/" {
		return true
	}
	for key := range t.objects {
		if strings.HasPrefix(key, path+"/") {
			return true
		}
	}
	return slices.ContainsFunc(v.writtenBelow(path), func(*modelFile) bool { return true })
}

// writtenBelow are the files being written below a directory.
func (v *view) writtenBelow(path string) (below []*modelFile) {
	for _, f := range v.files {
		if f.written && strings.HasPrefix(f.path, path+"/") {
			below = append(below, f)
		}
	}
	return below
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "/"
}

// noParent tells why there is no directory that a path could be in; 0 when there is.
func (t *tree) noParent(v *view, path string) syscall.Errno {
	dir := parentOf(path)
	switch {
	case t.isDir(v, dir):
		return 0
	case t.look(v, dir) != nil:
		return syscall.ENOTDIR
	case dir != "/":
		if errno := t.noParent(v, dir); errno != 0 {
			return errno
		}
	}
	return syscall.ENOENT
}

// keep gives a directory that has lost a name a marker, if it would go otherwise.
func (t *tree) keep(v *view, path string) {
	if dir := parentOf(path); dir != "/" && !t.isDir(v, dir) {
		t.objects[dir+"/"] = &object{}
	}
}

func (t *tree) open(v *view, o operation) answer {
	flags := openFlags[o.n]
	if errno := t.noParent(v, o.path); errno != 0 {
		return answer{errno: errno}
	}
	f := t.look(v, o.path)
	switch {
	case f == nil && flags&syscall.O_CREAT == 0:
		return answer{errno: syscall.ENOENT}
	case f != nil && flags&syscall.O_EXCL != 0:
		return answer{errno: syscall.EEXIST}
	case f != nil && f.link: // the kernel would go where it points to
		return answer{skip: true}
	case f == nil:
		f = &modelFile{path: o.path, modelAttributes: modelAttributes{mode: 0o644}, written: true, dirty: true, only: flags&syscall.O_EXCL != 0}
		v.files[o.path] = f
	}
	h := &modelHandle{modelFile: f, writes: flags&syscall.O_ACCMODE != syscall.O_RDONLY, only: flags&syscall.O_EXCL != 0}
	if flags&syscall.O_TRUNC != 0 && (len(f.content) > 0 || !f.written) {
		f.content, f.dirty = nil, true
	}
	if h.writes && !f.written {
		f.written, f.stored = true, false
	}
	f.handles++
	v.handles[o.handle] = h
	return answer{}
}

func (t *tree) applyHandle(v *view, h *modelHandle, o operation) answer {
	f := h.modelFile
	switch o.verb {
	case "read":
		from, to := min(o.off, len(f.content)), min(o.off+o.n+1, len(f.content))
		return answer{content: f.content[from:to], stale: f.elsewise}
	case "fsync":
		return answer{errno: t.publish(v, f)}
	case "close":
		var errno syscall.Errno
		if h.writes && (h.unstored || h.only && !f.stored && !h.ever) {
			errno = t.publish(v, f)
		}
		v.handles[o.handle] = nil
		t.release(v, h)
		return answer{errno: errno}
	}
	if !h.writes {
		return answer{errno: syscall.EBADF}
	}
	if f.lost != 0 {
		return answer{errno: f.lost}
	}
	switch o.verb {
	case "truncate":
		f.resize(o.off)
	case "append":
		f.write(text(o.n+1, o.fill), len(f.content))
	default:
		f.write(text(o.n+1, o.fill), o.off)
	}
	h.unstored, h.ever = true, true
	return answer{}
}

func (f *modelFile) resize(n int) {
	content := make([]byte, n)
	copy(content, f.content)
	f.content, f.dirty = content, !f.removed
}

func (f *modelFile) write(p []byte, off int) {
	f.resize(max(len(f.content), off+len(p)))
	copy(f.content[off:], p)
}
