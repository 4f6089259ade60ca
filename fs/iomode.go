package fs

// ioMode is how the kernel reads an open file.
type ioMode int

const (
	ioNone        ioMode = iota
	ioCached             // it asks this process, and keeps pages (or, with O_DIRECT, may)
	ioPassthrough        // it reads a local file
)

// ioState is the I/O mode of a node with the number of handles in it. The kernel has these rules (fs/fuse/iomode.c, 6.9
// and later), and answers EIO where they are broken: while a handle of an inode is in cached mode none may pass
// through; while one passes through all must, and by the same local file.
//
// Our count lags behind the kernel's: it hears of an open before the kernel counts it, and of a release afterwards. So
// what it takes for open is open or was, and what it allows is allowed.
type ioState struct {
	mode    ioMode
	handles int
}

// open decides on the mode of one more handle and counts it. whole tells whether there is a local file. fresh means
// that the handle can have its mode on another node only, and that nothing was counted.
func (s *ioState) open(whole bool) (mode ioMode, fresh bool) {
	switch {
	case s.handles > 0 && s.mode == ioCached && whole:
		return ioNone, true
	case s.handles > 0:
	case whole:
		s.mode = ioPassthrough
	default:
		s.mode = ioCached
	}
	s.handles++
	return s.mode, false
}

// openCached counts one more handle on a node in cached mode, although there is a local file.
func (s *ioState) openCached() ioMode {
	s.mode = ioCached
	s.handles++
	return s.mode
}

// close counts a handle less; last when it was the last one.
func (s *ioState) close() (last bool) {
	if s.handles--; s.handles == 0 {
		s.mode = ioNone
	}
	return s.handles == 0
}
