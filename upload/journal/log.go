package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"sync"
	"syscall"
)

// ErrDamaged is a log that is not as it was written.
var ErrDamaged = errors.New("the log is damaged")

// A line of a log is a CRC32C of what follows it, the name of a step, and the step as JSON:
//
//	9a3c01f4 part {"Number":1,"ETag":"...","Size":67108864,"Off":0}
const crcDigits = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// line writes a step as it stands in a log.
func line(s Step) ([]byte, error) {
	text, err := encode(s)
	if err != nil {
		return nil, err
	}
	rest := fmt.Appendf(nil, "%s %s", s.name(), text)
	return fmt.Appendf(nil, "%s %s\n", checksum(rest), rest), nil
}

func checksum(b []byte) string { return fmt.Sprintf("%0*x", crcDigits, crc32.Checksum(b, castagnoli)) }

// parseLine reads a line, without its newline.
func parseLine(b []byte) (Step, error) {
	if len(b) <= crcDigits || b[crcDigits] != ' ' {
		return nil, errors.New("a line has no checksum")
	}
	rest := b[crcDigits+1:]
	if checksum(rest) != string(b[:crcDigits]) {
		return nil, errors.New("a line has a wrong checksum")
	}
	name, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return nil, errors.New("a line has no step")
	}
	return decode(string(name), text)
}

// steps yields what stands in a log, in order. A last line without a newline is left out. At damage it yields an error,
// and ends.
func steps(log io.Reader) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		in := bufio.NewReaderSize(log, 1<<16)
		for n := 1; ; n++ {
			one, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return // nothing, or half a line
			}
			if err != nil {
				yield(nil, fmt.Errorf("journal: %w", err))
				return
			}
			s, err := parseLine(one[:len(one)-1])
			if err != nil {
				yield(nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// logFile is a log that is appended to.
type logFile struct {
	file *os.File

	// mu guards size and broken. It is held over the write, which is to the page cache: the order of the lines is what it
	// is about.
	mu     sync.Mutex
	size   int64
	broken error // why it cannot be appended to any more
}

func (d *Dir) createLog(name string, first Step) (*logFile, error) {
	f, err := d.create(name)
	if err != nil {
		return nil, err
	}
	l := &logFile{file: f}
	if err := l.append(first); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(d.file(name)))
	}
	return l, nil
}

// reopenLog goes on with a log of a mount that is dead, after its last whole line. It returns what stands in it too.
func reopenLog(path string) (l *logFile, content []byte, err error) {
	content, err = os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	content = survived(content)
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	if err := f.Truncate(int64(len(content))); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	return &logFile{file: f, size: int64(len(content))}, content, nil
}

// append writes steps at the end, with one write(2). What could not be written whole is taken back.
func (l *logFile) append(all ...Step) error {
	var text []byte
	for _, s := range all {
		one, err := line(s)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		text = append(text, one...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	n, err := l.file.WriteAt(text, l.size)
	if err == nil {
		l.size += int64(n)
		return nil
	}
	if undo := l.file.Truncate(l.size); undo != nil {
		l.broken = fmt.Errorf("journal: a step is half written and cannot be taken back: %w", errors.Join(err, undo))
	}
	return fmt.Errorf("journal: %w", err)
}

// end has nothing be appended any more, also by whom is about to: the file may become another's.
func (l *logFile) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = os.ErrClosed
}

// length is how much is written.
func (l *logFile) length() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}
