package upload

import "io"

// watched tells how far a body was read: a client reads it for its checksums first, and again for each try, and goes
// back to its beginning for that.
type watched struct {
	*io.SectionReader
	seen func(int64)  // may be nil; less than zero when it goes back
	last func() error // asked before the last bytes are given away; may be nil

	told int64 // bytes that seen knows of
}

func (w *watched) Read(p []byte) (n int, err error) {
	at, err := w.SectionReader.Seek(0, io.SeekCurrent)
	if err == nil && w.last != nil && at+int64(len(p)) >= w.Size() {
		err = w.last()
	}
	if err != nil {
		return 0, err
	}
	n, err = w.SectionReader.Read(p)
	w.tell(max(w.told, at+int64(n)))
	return n, err
}

func (w *watched) Seek(offset int64, whence int) (int64, error) {
	at, err := w.SectionReader.Seek(offset, whence)
	if err == nil {
		w.tell(min(w.told, at))
	}
	return at, err
}

// tell has seen know that so many bytes were read.
func (w *watched) tell(read int64) {
	if w.seen != nil && read != w.told {
		w.seen(read - w.told)
	}
	w.told = read
}

// WriteTo is hidden: it would not be seen.
func (w *watched) WriteTo(to io.Writer) (int64, error) { return io.Copy(to, struct{ io.Reader }{w}) }
