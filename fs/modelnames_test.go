package fs

import (
	"slices"
	"strings"
	"syscall"
)

// applyName is what changes names and goes by them.
func (t *tree) applyName(v *view, o operation) answer {
	if errno := t.noParent(v, o.path); errno != 0 && o.path != "/" {
		return answer{errno: errno}
	}
	dir := t.isDir(v, o.path)
	switch o.verb {
	case "list":
		return t.list(v, o.path, dir)
	case "mkdir":
		if dir || t.look(v, o.path) != nil {
			return answer{errno: syscall.EEXIST}
		}
		if t.claimed(v, o.path) {
			return answer{skip: true}
		}
		t.objects[o.path+"/"] = &object{modelAttributes: modelAttributes{mode: t.madeMode()}}
		return answer{}
	case "rmdir":
		return t.rmdir(v, o.path, dir)
	case "rename-dir":
		return t.renameDir(v, o, dir)
	case "symlink":
		return t.symlink(v, o, dir)
	}
	if dir && (strings.HasSuffix(o.verb, "xattr") || o.verb == "chmod" || o.verb == "stat") {
		return t.applyDirAttributes(o)
	}
	f := t.look(v, o.path)
	if errno := t.noParent(v, o.to); errno != 0 && o.verb == "rename" { // the kernel looks for directories first
		return answer{errno: errno}
	}
	if f == nil {
		return answer{errno: syscall.ENOENT, skip: !t.posix && o.aboutAttributes()} // what nobody but the node keeps, and what is refused, asks nobody whether the file is still there
	}
	if f.link && (o.verb == "cut" || o.verb == "chmod") { // the kernel would go where it points to
		return answer{skip: true}
	}
	switch o.verb {
	case "stat":
		return answer{size: len(f.content), mode: f.mode, link: f.link}
	case "readlink", "setxattr", "removexattr", "getxattr", "listxattr":
		return t.applyAttributes(f, o)
	case "cut":
		if f.elsewise {
			return answer{skip: true}
		}
		f.resize(o.off)
		if !f.written {
			f.written, f.stored = true, false
		}
		errno := t.publish(v, f)
		if f.handles == 0 {
			f.written = f.due
		}
		return answer{errno: errno}
	case "chmod":
		if !f.dirty && f.elsewise {
			return answer{skip: true}
		}
		f.mode = uint32(o.n)
		t.describe(f)
		return answer{}
	case "unlink":
		t.remove(v, f)
		if f.base != nil { // else what is there now is somebody else's
			t.put(o.path, nil)
		}
		t.keep(v, o.path)
		return answer{}
	}
	return t.rename(v, f, o)
}

// remove takes a file's name.
func (t *tree) remove(v *view, f *modelFile) {
	f.removed, f.written, f.dirty = true, false, false
	delete(v.files, f.path)
}

func (t *tree) list(v *view, path string, dir bool) answer {
	switch {
	case !dir && t.look(v, path) != nil:
		return answer{errno: syscall.ENOTDIR}
	case !dir:
		return answer{errno: syscall.ENOENT}
	}
	prefix := strings.TrimPrefix(path+"/", "/")
	prefix = strings.TrimPrefix(prefix, "/")
	var names []string
	add := func(key string) {
		if rest, below := strings.CutPrefix(key, prefix); below && rest != "" {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	for key := range t.objects {
		add(key)
	}
	for _, f := range v.files {
		if f.written {
			add(f.path)
		}
	}
	slices.Sort(names)
	return answer{names: slices.Compact(names)}
}

func (t *tree) rmdir(v *view, path string, dir bool) answer {
	switch {
	case !dir && t.look(v, path) != nil:
		return answer{errno: syscall.ENOTDIR}
	case !dir:
		return answer{errno: syscall.ENOENT}
	case len(t.list(v, path, true).names) > 0:
		return answer{errno: syscall.ENOTEMPTY}
	}
	for _, other := range t.machines {
		if other != v && len(other.writtenBelow(path)) > 0 {
			return answer{skip: true}
		}
	}
	delete(t.objects, path+"/")
	t.keep(v, path)
	return answer{}
}

// claimed tells whether another machine is about to store a file where this one makes a directory: a key that is both
// has a test of its own.
func (t *tree) claimed(v *view, path string) bool {
	for _, other := range t.machines {
		if f := other.files[path]; other != v && f != nil && f.written {
			return true
		}
	}
	return false
}

// rename is of a file.
func (t *tree) rename(v *view, f *modelFile, o operation) answer {
	if o.path == o.to {
		return answer{skip: true}
	}
	replaced, noReplace := t.look(v, o.to), o.n == 1
	switch dir := t.isDir(v, o.to); {
	case noReplace && (dir || replaced != nil):
		return answer{errno: syscall.EEXIST}
	case dir:
		return answer{errno: syscall.EISDIR}
	case f.elsewise || replaced != nil && replaced.elsewise:
		return answer{skip: true}
	}
	had := t.objects[o.path]
	if replaced != nil {
		t.remove(v, replaced)
	}
	delete(v.files, o.path)
	v.files[o.to] = f
	f.path = o.to
	switch {
	case f.base == nil: // it has never been stored
		if f.base = nil; replaced != nil {
			f.base = t.objects[o.to]
		}
		f.only = false
	case f.dirty:
		f.base = t.objects[o.to]
		t.publish(v, f)
		t.put(o.path, nil)
	default:
		f.base = had
		t.put(o.to, had)
		t.put(o.path, nil)
	}
	t.keep(v, o.path)
	return answer{}
}

func (t *tree) renameDir(v *view, o operation, dir bool) answer {
	switch {
	case o.path == o.to || strings.HasPrefix(o.to, o.path+"/") || !dir && t.look(v, o.path) != nil:
		return answer{skip: true} // the kernel's to refuse, and a file
	case t.noParent(v, o.to) != 0:
		return answer{errno: t.noParent(v, o.to)}
	case !dir:
		return answer{errno: syscall.ENOENT}
	case t.look(v, o.to) != nil:
		return answer{errno: syscall.ENOTDIR}
	case len(t.list(v, o.to, true).names) > 0:
		return answer{errno: syscall.ENOTEMPTY}
	}
	below := v.writtenBelow(o.path)
	for _, f := range below {
		if f.elsewise {
			return answer{skip: true}
		}
	}
	for _, other := range t.machines {
		if other != v && len(other.writtenBelow(o.path))+len(other.writtenBelow(o.to)) > 0 {
			return answer{skip: true}
		}
	}
	if t.claimed(v, o.to) {
		return answer{skip: true}
	}
	rename := func(key string) (string, bool) {
		rest, found := strings.CutPrefix(key, o.path+"/")
		return o.to + "/" + rest, found
	}
	var keys []string
	for key := range t.objects {
		keys = append(keys, key)
	}
	moved := make(map[string]bool)
	for _, f := range v.everything() {
		if to, found := rename(f.path); found && !f.removed && f.lost == 0 && v.files[f.path] == f {
			delete(v.files, f.path)
			f.path = to
			v.files[to] = f
			moved[to] = true
		}
	}
	for _, key := range keys {
		if to, found := rename(key); found {
			o := t.objects[key]
			t.put(to, o)
			t.put(key, nil)
		}
	}
	t.keep(v, o.path)
	return answer{}
}
