package fs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/fs/posixmeta"
	"github.com/headrace/headrace/objstore"
)

// What histories do to extended attributes and symbolic links, and what others do past the mounts: the model's side,
// then the mounts' and the store's.

// target is where a link of a history points to: never empty, which is no link.
func (o operation) target() []byte { return text(o.n+1, o.fill) }

func (o operation) value() string { return string(text(o.n, o.fill)) }

// putElsewhere is what others do past the mounts. With write-back it waits for what is written here: who of both is
// first is not known.
func (t *tree) putElsewhere(v *view, o operation) answer {
	written := func(f *modelFile) bool { return f.path == o.path && f.written }
	switch {
	case t.writeBack && slices.ContainsFunc(v.everything(), written):
		return answer{skip: true}
	case o.verb != "delete" && (t.isDir(v, o.path) || t.noParent(v, o.path) != 0):
		return answer{skip: true}
	case t.writeBack && !t.flush(v):
		return answer{skip: true}
	case o.verb == "delete":
		t.put(o.path, nil)
		return answer{}
	}
	now := &object{text(o.n, o.fill), modelAttributes{mode: 0o644}}
	if o.verb == "put-link" {
		now.content = o.target()
		if t.posix {
			now.mode, now.link = permissionBits, true
		}
	}
	t.put(o.path, now)
	return answer{}
}

// flush has the store hear of all that was acknowledged; false where it would hear of what was not as well.
func (t *tree) flush(v *view) bool {
	if !t.writeBack || slices.ContainsFunc(v.everything(), func(f *modelFile) bool { return f.dirty }) {
		return false
	}
	for _, f := range v.everything() {
		f.due, f.written = false, f.written && f.handles > 0
	}
	return true
}

func (t *tree) symlink(v *view, o operation, dir bool) answer {
	switch {
	case !t.posix:
		return answer{errno: syscall.ENOTSUP}
	case dir || t.look(v, o.path) != nil:
		return answer{errno: syscall.EEXIST}
	}
	t.put(o.path, &object{o.target(), modelAttributes{mode: permissionBits, link: true}})
	return answer{}
}

// describe has the object of a file bear its attributes, unless it will when what is written is stored.
func (t *tree) describe(f *modelFile) {
	if now := t.objects[f.path]; !f.dirty && t.posix && now != nil {
		f.base = &object{now.content, f.modelAttributes}
		t.objects[f.path] = f.base
	}
}

// applyAttributes is what reads a link and changes and reads extended attributes.
func (t *tree) applyAttributes(f *modelFile, o operation) answer {
	value, has := f.xattrs[o.to]
	switch o.verb {
	case "readlink":
		if !f.link {
			return answer{errno: syscall.EINVAL}
		}
		return answer{content: f.content}
	case "listxattr":
		return answer{names: slices.Sorted(maps.Keys(f.xattrs))}
	case "getxattr":
		if !has {
			return answer{errno: syscall.ENODATA}
		}
		return answer{content: []byte(value)}
	}
	switch {
	case !t.posix:
		return answer{errno: syscall.ENOTSUP}
	case f.link, !f.dirty && f.elsewise: // the kernel lets nobody give links any
		return answer{skip: true}
	case !has && (o.verb == "removexattr" || o.xattrFlags() == unix.XATTR_REPLACE):
		return answer{errno: syscall.ENODATA}
	case has && o.verb == "setxattr" && o.xattrFlags() == unix.XATTR_CREATE:
		return answer{errno: syscall.EEXIST}
	}
	all := maps.Clone(f.xattrs)
	if all == nil {
		all = make(map[string]string)
	}
	if delete(all, o.to); o.verb == "setxattr" {
		all[o.to] = o.value()
	}
	f.xattrs = all
	t.describe(f)
	return answer{}
}

// applyDirAttributes is applyAttributes for a directory: its marker has them, and is made for them.
func (t *tree) applyDirAttributes(o operation) answer {
	key := o.path + "/"
	marker := t.objects[key]
	if marker == nil {
		marker = &object{}
	}
	switch f := marker.modelAttributes; {
	case o.verb == "stat":
		return answer{mode: f.mode, skip: t.posix && f.mode == 0}
	case o.verb == "chmod" && t.posix:
		f.mode = uint32(o.n)
		t.objects[key] = &object{modelAttributes: f}
		fallthrough
	case o.verb == "chmod":
		return answer{}
	}
	f := &modelFile{path: key, modelAttributes: marker.modelAttributes}
	want := t.applyAttributes(f, o)
	if want.errno == 0 && (o.verb == "setxattr" || o.verb == "removexattr") {
		t.objects[key] = &object{modelAttributes: f.modelAttributes}
	}
	return want
}

// madeMode is the mode of a directory that is made here, where it is kept; 0 of one whose mode nobody has said, of
// which none is asked.
func (t *tree) madeMode() uint32 {
	if t.posix {
		return madeMode
	}
	return 0
}

const madeMode = 0o755

func (o operation) xattrFlags() uint32 { return uint32(o.off % 3) } // 0, XATTR_CREATE, XATTR_REPLACE

func (m *machine) changeXattr(o operation) fuse.Status {
	return m.walk(o.path, func(id uint64, _ *fuse.EntryOut) fuse.Status {
		in := header(id)
		if o.verb == "removexattr" {
			return m.fs.RemoveXAttr(nil, &in, o.to)
		}
		return m.fs.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: in, Flags: o.xattrFlags()}, o.to, []byte(o.value()))
	})
}

func (m *machine) symlink(o operation) fuse.Status {
	return m.below(o.path, func(dir uint64, base string) fuse.Status {
		in := header(dir)
		var out fuse.EntryOut
		status := m.fs.Symlink(nil, &in, string(o.target()), base, &out)
		if status == fuse.OK {
			m.fs.Forget(out.NodeId, 1)
		}
		return status
	})
}

// readAttribute reads a link, an attribute, or the names of those that users gave.
func (m *machine) readAttribute(o operation, got *answer) fuse.Status {
	return m.walk(o.path, func(id uint64, _ *fuse.EntryOut) (status fuse.Status) {
		in, buf := header(id), make([]byte, 4096)
		var n uint32
		switch o.verb {
		case "readlink":
			got.content, status = m.fs.Readlink(nil, &in)
			return status
		case "getxattr":
			n, status = m.fs.GetXAttr(nil, &in, o.to, buf)
			got.content = buf[:n]
			return status
		}
		n, status = m.fs.ListXAttr(nil, &in, buf)
		for name := range bytes.SplitSeq(buf[:n], []byte{0}) {
			if isOwnAttr(string(name)) {
				got.names = append(got.names, string(name))
			}
		}
		slices.Sort(got.names)
		return status
	})
}

// putElsewhere is what others do past the mounts.
func (w *world) putElsewhere(o operation) error {
	if w.writeBack {
		if err := w.machines[0].flush(); err != nil {
			return err
		}
	}
	ctx, p, mode := context.Background(), text(o.n, o.fill), syscall.S_IFREG|0o644
	switch o.verb {
	case "delete":
		return w.store.Delete(ctx, o.path)
	case "put-link":
		p, mode = o.target(), syscall.S_IFLNK|permissionBits
	}
	attrs := objstore.Attributes{}
	if w.posix {
		attrs.Metadata = map[string]string{"mode": fmt.Sprint(mode)}
	}
	_, err := w.store.Put(ctx, o.path, bytes.NewReader(p), int64(len(p)), objstore.Condition{}, attrs)
	return err
}

// compareAttributes compares what the metadata of a file's object says with what it should.
func (w *world) compareAttributes(key string, want *object) error {
	if !w.posix {
		return nil
	}
	e, err := w.store.Stat(context.Background(), key)
	if err != nil {
		return err
	}
	a := posixmeta.Parse(e.Metadata)
	if want.mode == 0 { // a directory's, of which no more is asked
		a.Mode, a.Type = 0, 0
	}
	if got := (a.Type == syscall.S_IFLNK); a.Mode != want.mode || got != want.link || !maps.Equal(a.Xattrs, want.xattrs) {
		return fmt.Errorf("in the bucket %s has mode %o, is a link: %v, and has %q; should be %o, %v, %q", key, a.Mode, got, a.Xattrs, want.mode, want.link, want.xattrs)
	}
	return nil
}

func (o operation) aboutAttributes() bool {
	return slices.Contains([]string{"chmod", "readlink", "setxattr", "removexattr", "getxattr", "listxattr"}, o.verb)
}
