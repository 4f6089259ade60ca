package fs

import (
	"slices"
	"syscall"
)

// publish stores a file.
func (t *tree) publish(v *view, f *modelFile) syscall.Errno {
	switch {
	case f.lost != 0 && f.dirty:
		return f.lost
	case f.removed || !f.dirty:
	case !t.same(f.path, f.base):
		f.lost = syscall.ESTALE
		if f.only {
			f.lost = syscall.EEXIST
		}
		errno := f.lost
		if f.only && len(f.content) == 0 { // a lock that somebody else has
			f.dirty = false
		}
		f.written = false
		delete(v.files, f.path)
		return errno
	default:
		now := &object{slices.Clone(f.content), f.modelAttributes}
		f.due = t.writeBack
		f.base, f.dirty, f.elsewise, f.stored, f.only = now, false, false, true, false
		t.put(f.path, now)
		for _, h := range v.handles {
			if h != nil && h.modelFile == f {
				h.unstored = false
			}
		}
	}
	return 0
}

// release ends a handle: what nobody has stored is.
func (t *tree) release(v *view, h *modelHandle) {
	f := h.modelFile
	f.handles--
	writers := 0
	for _, other := range v.handles {
		if other != nil && other.modelFile == f && other.writes {
			writers++
		}
	}
	if h.writes && (writers == 0 || h.unstored) && f.lost == 0 {
		t.publish(v, f)
	}
	if f.handles == 0 {
		f.written = f.due
	}
}

// end is a remount or a crash: the handles go.
func (t *tree) end(v *view, orderly bool) answer {
	if !orderly && slices.ContainsFunc(v.everything(), func(f *modelFile) bool { return f.due && f.dirty }) { // what was written since may be there, or not
		return answer{skip: true}
	}
	for i, h := range v.handles {
		if h != nil && orderly {
			t.applyHandle(v, h, operation{verb: "close", handle: i})
		}
	}
	*v = view{files: make(map[string]*modelFile)}
	return answer{}
}
