package fs

import (
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// do sends the requests that a system call becomes.
func (m *machine) do(o operation) (got answer) {
	var status fuse.Status
	switch o.verb {
	case "open":
		status = again(func() fuse.Status { return m.open(o) })
	case "close":
		status = m.close(o.handle)
	case "fsync":
		h := m.handles[o.handle]
		status = m.fs.Fsync(nil, &fuse.FsyncIn{InHeader: header(h.node), Fh: h.id})
	case "read":
		got.content, status = m.read(o)
	case "write", "append", "truncate":
		status = m.change(o)
	case "stat":
		status = again(func() fuse.Status { return m.stat(o.path, &got) })
	case "readlink", "getxattr", "listxattr":
		status = again(func() fuse.Status { return m.readAttribute(o, &got) })
	case "list":
		status = m.walk(o.path, func(id uint64, out *fuse.EntryOut) (status fuse.Status) {
			got.names, status = m.list(id)
			return status
		})
	default:
		status = again(func() fuse.Status { return m.changeName(o) })
	}
	got.errno = syscall.Errno(status)
	return got
}

// again does what the kernel does when a path is ESTALE: it looks it up anew.
func again(do func() fuse.Status) fuse.Status {
	status := do()
	if status == estale {
		status = do()
	}
	return status
}

// stat asks for attributes twice, as the kernel does that may not keep those of a lookup.
func (m *machine) stat(name string, got *answer) fuse.Status {
	return m.walk(name, func(id uint64, _ *fuse.EntryOut) fuse.Status {
		var out fuse.AttrOut
		status := m.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: header(id)}, &out)
		if got.size = int(out.Size); m.fs.cfg.PosixMetadata {
			got.mode, got.link = out.Mode&permissionBits, out.Mode&syscall.S_IFMT == syscall.S_IFLNK
		}
		return status
	})
}

func (m *machine) open(o operation) fuse.Status {
	flags := uint32(openFlags[o.n])
	h := &m.handles[o.handle]
	if flags&syscall.O_EXCL != 0 { // a lookup may be answered once without asking, since an open asks; which does not come here
		_ = m.stat(o.path, &answer{})
	}
	status := m.walk(o.path, func(id uint64, _ *fuse.EntryOut) fuse.Status {
		if flags&syscall.O_EXCL != 0 {
			return fuse.Status(syscall.EEXIST)
		}
		var out fuse.OpenOut
		status := m.fs.Open(nil, &fuse.OpenIn{InHeader: header(id), Flags: flags}, &out)
		if status == fuse.OK {
			*h = openHandle{id, out.Fh, true}
			m.keep = id
		}
		return status
	})
	if status != fuse.ENOENT || flags&syscall.O_CREAT == 0 {
		return status
	}
	return m.below(o.path, func(dir uint64, base string) fuse.Status {
		var out fuse.CreateOut
		status := m.fs.Create(nil, &fuse.CreateIn{InHeader: header(dir), Flags: flags, Mode: 0o644}, base, &out)
		if status == fuse.OK {
			*h = openHandle{out.NodeId, out.Fh, true}
		}
		return status
	})
}

func (m *machine) close(i int) fuse.Status {
	h := m.handles[i]
	m.handles[i] = openHandle{}
	status := m.fs.Flush(nil, &fuse.FlushIn{InHeader: header(h.node), Fh: h.id})
	m.fs.Release(nil, &fuse.ReleaseIn{InHeader: header(h.node), Fh: h.id})
	m.fs.Forget(h.node, 1)
	m.settle()
	return status
}

func (m *machine) read(o operation) ([]byte, fuse.Status) {
	h := m.handles[o.handle]
	buf := make([]byte, o.n+1)
	result, status := m.fs.Read(nil, &fuse.ReadIn{InHeader: header(h.node), Fh: h.id, Offset: uint64(o.off), Size: uint32(len(buf))}, buf)
	if status != fuse.OK {
		return nil, status
	}
	defer result.Done()
	p, status := result.Bytes(make([]byte, len(buf)))
	return slices.Clone(p), status
}

// change writes or truncates. The kernel lets nobody write by a descriptor that may not, and knows where a file ends.
func (m *machine) change(o operation) fuse.Status {
	h := m.handles[o.handle]
	if f, _ := m.fs.files.get(h.id); !f.writable {
		return fuse.EBADF
	}
	if o.verb == "truncate" {
		in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: header(h.node), Valid: fuse.FATTR_SIZE | fuse.FATTR_FH, Fh: h.id, Size: uint64(o.off)}}
		return m.fs.SetAttr(nil, in, &fuse.AttrOut{})
	}
	off := uint64(o.off)
	if o.verb == "append" {
		var out fuse.AttrOut
		if status := m.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: header(h.node), Flags_: fuse.FUSE_GETATTR_FH, Fh_: h.id}, &out); status != fuse.OK {
			return status
		}
		off = out.Size
	}
	p := text(o.n+1, o.fill)
	n, status := m.fs.Write(nil, &fuse.WriteIn{InHeader: header(h.node), Fh: h.id, Offset: off, Size: uint32(len(p))}, p)
	if status == fuse.OK && int(n) != len(p) {
		return fuse.EIO
	}
	return status
}

func (m *machine) changeName(o operation) fuse.Status {
	switch o.verb {
	case "cut":
		return m.walk(o.path, func(id uint64, _ *fuse.EntryOut) fuse.Status {
			in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: header(id), Valid: fuse.FATTR_SIZE, Size: uint64(o.off)}}
			return m.fs.SetAttr(nil, in, &fuse.AttrOut{})
		})
	case "chmod":
		return m.walk(o.path, func(id uint64, _ *fuse.EntryOut) fuse.Status {
			in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: header(id), Valid: fuse.FATTR_MODE, Mode: uint32(o.n)}}
			return m.fs.SetAttr(nil, in, &fuse.AttrOut{})
		})
	case "setxattr", "removexattr":
		return m.changeXattr(o)
	case "symlink":
		return m.symlink(o)
	case "rename", "rename-dir":
		return m.below(o.path, func(dir uint64, base string) fuse.Status {
			return m.below(o.to, func(toDir uint64, toBase string) fuse.Status {
				in := &fuse.RenameIn{InHeader: header(dir), Newdir: toDir}
				if o.n == 1 && o.verb == "rename" {
					in.Flags = unix.RENAME_NOREPLACE
				}
				return m.fs.Rename(nil, in, base, toBase)
			})
		})
	}
	return m.below(o.path, func(dir uint64, base string) fuse.Status {
		in := header(dir)
		switch o.verb {
		case "unlink":
			return m.fs.Unlink(nil, &in, base)
		case "rmdir":
			return m.fs.Rmdir(nil, &in, base)
		}
		var out fuse.EntryOut
		status := m.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: in, Mode: madeMode}, base, &out)
		if status == fuse.OK {
			m.fs.Forget(out.NodeId, 1)
		}
		return status
	})
}

// list are a directory's names.
func (m *machine) list(id uint64) (names []string, status fuse.Status) {
	var out fuse.OpenOut
	if status := m.fs.OpenDir(nil, &fuse.OpenIn{InHeader: header(id)}, &out); status != fuse.OK {
		return nil, status
	}
	defer m.fs.ReleaseDir(&fuse.ReleaseIn{Fh: out.Fh})
	for offset := uint64(0); ; {
		reply := fuse.NewDirEntryList(make([]byte, 4096), offset)
		if status := m.fs.ReadDir(nil, &fuse.ReadIn{InHeader: header(id), Fh: out.Fh, Offset: offset}, reply); status != fuse.OK {
			return nil, status
		}
		entries, err := fuse.ParseDirEntries(reply.Bytes())
		if err != nil {
			return nil, fuse.EIO
		}
		if len(entries) == 0 {
			slices.Sort(names)
			return names, fuse.OK
		}
		for _, e := range entries {
			if e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
		}
		offset = entries[len(entries)-1].Off
	}
}
