package share

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// socketFile is in the cache directory. Only who has the directory's lock makes, replaces or removes it.
	socketFile = "socket"
	// maxMessage bounds what is read for one message.
	maxMessage = 1 << 20
	// maxFiles is how many descriptors may come with what one call reads: more than anybody sends.
	maxFiles = 4
)

// wire is a connection: messages of gob, each of which may come with one descriptor.
type wire struct {
	conn   *net.UnixConn
	out    bytes.Buffer
	encode *gob.Encoder
	decode *gob.Decoder
	in     received
}

func newWire(conn *net.UnixConn) *wire {
	w := &wire{conn: conn, in: received{conn: conn}}
	w.encode, w.decode = gob.NewEncoder(&w.out), gob.NewDecoder(&w.in)
	return w
}

// within bounds what is done until it is called again.
func (w *wire) within(d time.Duration) {
	_ = w.conn.SetDeadline(time.Now().Add(d)) // fails when it is closed, and then so does all that follows
}

// send sends a message and with it a descriptor, if file is not nil.
func (w *wire) send(message any, file *os.File) error {
	w.out.Reset()
	if err := w.encode.Encode(message); err != nil {
		return fmt.Errorf("share: %w", err)
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	b := w.out.Bytes()
	n, _, err := w.conn.WriteMsgUnix(b, rights, nil)
	runtime.KeepAlive(file)
	if err == nil && n < len(b) {
		_, err = w.conn.Write(b[n:])
	}
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	return nil
}

// receive reads a message, and the descriptor that came with it, nil for none. io.EOF when the other side has ended.
func (w *wire) receive(message any) (*os.File, error) {
	w.in.left = maxMessage
	if err := w.decode.Decode(message); err != nil {
		w.in.drop()
		return nil, fmt.Errorf("share: %w", err)
	}
	var file *os.File
	if len(w.in.files) > 0 { // one request at a time: what has come belongs to this message
		file, w.in.files = w.in.files[0], w.in.files[1:]
	}
	w.in.drop()
	return file, nil
}

func (w *wire) close() {
	_ = w.conn.Close() // all that was sent was answered
}

// received is the incoming side of a connection.
type received struct {
	conn  *net.UnixConn
	left  int        // bytes that may still come
	files []*os.File // that have come
}

// Read implements io.Reader.
func (r *received) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, errors.New("a message is too long")
	}
	var rights [32 + 4*maxFiles]byte
	n, nr, flags, _, err := r.conn.ReadMsgUnix(b[:min(len(b), r.left)], rights[:])
	if err != nil {
		return 0, err
	}
	r.left -= n
	if err := r.take(rights[:nr]); err != nil {
		return n, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, errors.New("descriptors were lost on the way")
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// take makes files of the descriptors that came along.
func (r *received) take(rights []byte) error {
	controls, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for _, c := range controls {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			continue // of another kind
		}
		for _, fd := range fds {
			r.files = append(r.files, os.NewFile(uintptr(fd), "cache file"))
		}
	}
	return nil
}

// drop closes what nobody asked for.
func (r *received) drop() {
	for _, f := range r.files {
		_ = f.Close() // nothing was written
	}
	r.files = nil
}

// atSocket calls do with a name of the socket by way of an open directory, which stays open meanwhile: the name of a
// socket may have 107 bytes, unix(7), and the directory's may be longer.
func atSocket(directory *os.File, do func(path string) error) error {
	raw, err := directory.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { err = do(filepath.Join("/proc/self/fd", fmt.Sprint(fd), socketFile)) })
	return errors.Join(err, failed)
}

// peerOf is the user at the other end.
func peerOf(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	return int(peer.Uid), nil
}
