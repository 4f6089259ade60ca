package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// What can be wrong with a mount point or with the machine, besides what the kernel says itself: see [Mount].
var (
	ErrNoFUSE       = errors.New("the kernel has no FUSE, or /dev/fuse is not there")
	ErrNoFusermount = errors.New("only root may mount by itself, and there is no fusermount3 to do it for others")
	ErrNotDirectory = errors.New("not a directory")
	ErrDeadMount    = errors.New("there is a mount whose process is dead")
	ErrNotMounted   = errors.New("no mount of headrace is there")
)

const (
	// fsType is how the kernel's table of mounts calls ours, and fsSubtype what the protocol library makes it from.
	fsType    = "fuse." + fsSubtype
	fsSubtype = "headrace"

	// requestSize is the most one READ asks for: 1 MiB, the kernel's limit unless fs.fuse.max_pages_limit is raised. At
	// 128 KiB a GiB costs the process twice the CPU.
	requestSize = 1 << 20

	// defaultMaxBackground is how many readahead requests the kernel has under way at once. Its own 12 throttle a loader
	// with many readers; above 100 nothing is gained, and each may pin its bytes in memory.
	defaultMaxBackground = 100

	// defaultReadAhead is how far the kernel reads ahead of a sequential reader. From 1 MiB on its requests reach their
	// full size: daemon and reader cost 0.9 + 0.65 s of CPU a GiB at the kernel's 128 KiB, and 0.40 + 0.43 s at 1 MiB.
	// With 4 MiB several are under way, so that daemon and reader work at the same time: a mapping is read a third faster.
	// It is also what one page fault brings, but for faults at random only the first hundred of a file: then the kernel
	// reads page by page.
	defaultReadAhead = 4 << 20
)

// MountOptions say how the kernel is to treat a mount.
type MountOptions struct {
	// AllowOther lets other users in. Users other than root need user_allow_other in /etc/fuse.conf for it.
	AllowOther bool

	// FSName is what the table of mounts shows as the source, such as "s3://bucket/prefix".
	FSName string

	// MaxBackground is how many readahead requests the kernel may have under way. 0 means 100.
	MaxBackground int

	// ReadAhead is how far the kernel reads ahead, in bytes. 0 means 4 MiB. Only root can have more than 128 KiB.
	ReadAhead int

	// Debug logs every request, at level debug.
	Debug bool

	readOnly bool // the kernel refuses changes by itself
}

func (o *MountOptions) setDefaults() {
	if o.MaxBackground <= 0 {
		o.MaxBackground = defaultMaxBackground
	}
	if o.ReadAhead <= 0 {
		o.ReadAhead = defaultReadAhead
	}
	if o.FSName == "" {
		o.FSName = fsSubtype
	}
}

// Server serves one mount, from [Mount] until the mount is gone.
type Server struct {
	dir      string // absolute
	fs       *fileSystem
	protocol *fuse.Server
	device   *device
	info     mountInfo // where the kernel keeps the mount's settings
	log      *slog.Logger

	done      chan struct{} // closed when the last request has been answered and all is given back
	abandoned chan struct{} // closed when the kernel could not be made to let go
	abandon   sync.Once
}

// Mount shows what cfg says at dir and returns once the kernel and this process have agreed on how to talk: from then
// on every access is answered. Errors: those above, and the kernel's ([syscall.Errno], such as EPERM) wrapped with what
// was tried. The caller ends the mount with Unmount or Abort, or waits with Wait until somebody else does.
func Mount(dir string, cfg Config, opts MountOptions) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	opts.setDefaults()
	dir, err := mountPoint(dir)
	if err != nil {
		return nil, err
	}
	checked := cfg.refuses(opts.AllowOther)
	opts.readOnly = cfg.Uploads == nil
	d, err := attach(dir, opts, checked)
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: dir, device: d, log: cfg.Log,
		done: make(chan struct{}), abandoned: make(chan struct{}),
	}
	s.fs = newFileSystem(cfg, checked, d.dead)
	s.protocol, err = fuse.NewServer(s.fs, d.path(), protocolOptions(cfg.Log, opts))
	if err != nil {
		s.fs.close()
		return nil, errors.Join(fmt.Errorf("fs: the kernel did not agree on a protocol: %w", err), detach(dir, true), d.close())
	}
	go s.serve()
	if s.info, err = findMount(dir); err != nil {
		s.log.Warn("mount is not in the kernel's table", "dir", dir, "error", err)
	} else {
		s.raiseReadAhead(opts.ReadAhead)
	}
	return s, nil
}

// serve answers until the kernel has ended the connection and the last handler has returned.
func (s *Server) serve() {
	defer close(s.done)
	s.protocol.Serve()
	s.fs.close()
	if err := s.device.close(); err != nil {
		s.log.Warn("cannot close the FUSE device", "error", err)
	}
}

// Wait returns when the mount is gone, whoever ended it, and nothing of it is left in this process. The one exception
// is a mount that Abort could not end: it returns then too.
func (s *Server) Wait() {
	select {
	case <-s.done:
	case <-s.abandoned:
	}
}

// Stats is a snapshot of what the mount holds and has answered.
func (s *Server) Stats() Stats { return s.fs.stats() }

// mountPoint is dir as the kernel's table will have it. It says what is wrong with it before the kernel does, with less
// to say.
func mountPoint(dir string) (string, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, syscall.ENOTCONN):
		return "", fmt.Errorf("fs: %w at %s", ErrDeadMount, dir)
	case err != nil:
		return "", fmt.Errorf("fs: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("fs: %s: %w", dir, ErrNotDirectory)
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("fs: %w", err)
	}
	return dir, nil
}

// protocolOptions are what the protocol library is told. The mount itself is made by attach.
func protocolOptions(log *slog.Logger, opts MountOptions) *fuse.MountOptions {
	return &fuse.MountOptions{
		Name:     fsSubtype,
		MaxWrite: requestSize, // the size of reads too
		Debug:    opts.Debug,
		// What the library has to say is about replies that nobody waits for any more; it is for looking into the protocol.
		Logger: slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		MaxBackground: opts.MaxBackground,
		// Above the threshold, by default three quarters of the maximum, the kernel drops readahead instead of queueing it.
		CongestionThreshold: opts.MaxBackground,

		// A node is one version of one name, so the pages the kernel has of it stay right: it must not drop them because it
		// saw another time of modification.
		ExplicitDataCacheControl: true,

		// READDIRPLUS_AUTO: attributes come with names only where somebody looks at them, as ls -l does and ls does not.
		// DIRECT_IO_ALLOW_MMAP: files can be mapped in read mode direct too. ASYNC_DIO: io_submit and io_uring get their
		// O_DIRECT reads answered side by side. ATOMIC_O_TRUNC: a file that is opened to be written anew is told from one
		// that is cut later, which counts as writing. HANDLE_KILLPRIV_V2: no file here has setuid, setgid or capabilities
		// that a write would have to take away; the kernel asks for the attribute security.capability before each write(2)
		// otherwise.
		ExtraCapabilities: fuse.CAP_READDIRPLUS_AUTO | fuse.CAP_DIRECT_IO_ALLOW_MMAP | fuse.CAP_ASYNC_DIO | fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_HANDLE_KILLPRIV_V2,

		// One path may have several node ids, and a lock is on the path.
		EnableLocks: true,

		// Replies are written from the cache's memory with one writev; splice would move pages that are not ours to give,
		// and a request of 1 MiB does not fit a pipe.
		DisableSplice: true,

		PanicHandler: func(reason any) fuse.Status {
			log.Error("a request failed in a way that should be impossible", "panic", reason, "stack", string(debug.Stack()))
			return fuse.EIO
		},
	}
}
