package share

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/cache/disk"
)

// connected is a connection to the owner of a directory on which nothing was said.
func connected(t *testing.T, dir string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, socketFile), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestSocketIsItsUsers: nobody else can connect.
func TestSocketIsItsUsers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	m := join(t, dir, "owner", 64*mib)
	st, err := os.Lstat(filepath.Join(dir, socketFile))
	if err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, socketFile)); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestNonsense: whatever is said at the socket, the owner goes on, and the connection ends.
func TestNonsense(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	m := join(t, dir, "owner", 64*mib)
	v := versionOf("object", 5000)
	keep(t, m, v, 0, 0)
	noise := make([]byte, 3*maxMessage)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for name, said := range map[string][]byte{
		"noise": noise, "a length beyond all bounds": {0xfc, 0x3f, 0xff, 0xff, 0xff}, "the half of a message": {40, 1, 2},
		"text": []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "nothing": {},
	} {
		conn := connected(t, dir)
		_, _ = conn.Write(said) // the owner may have hung up
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("%s: %d bytes of answer, %v", name, n, err)
		}
	}
	if !right(t, m, v, 0) || !right(t, join(t, dir, "sharer", 0), v, 0) {
		t.Error("what was kept is gone")
	}
}

// TestOffersRefused: what is not a chunk, or could change, is not written.
func TestOffersRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	owner := join(t, dir, "owner", 64*mib)
	visitor, err := Visit(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer visitor.Close()
	v := versionOf("object", mib+5)
	offer := func(q request, size int64, seals int) bool {
		t.Helper()
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "offer")
		defer file.Close()
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
			t.Fatal(err)
		}
		a, _, err := visitor.owner.ask(askDeadline, q, file)
		if err != nil {
			t.Fatal(err)
		}
		return a.Found
	}
	good := request{Op: opOffer, Version: v, Blocks: 0b11}
	for name, taken := range map[string]bool{
		"unsealed":    offer(good, v.Size, unix.F_SEAL_SHRINK),
		"too short":   offer(good, v.Size-1, offerSeals),
		"no chunk":    offer(request{Op: opOffer, Version: v, Chunk: 1, Blocks: 1}, v.Size, offerSeals),
		"before it":   offer(request{Op: opOffer, Version: v, Chunk: -1, Blocks: 1}, v.Size, offerSeals),
		"more blocks": offer(request{Op: opOffer, Version: v, Blocks: 0b111}, v.Size, offerSeals),
	} {
		if taken {
			t.Errorf("%s: taken", name)
		}
	}
	if a, _, err := visitor.owner.ask(askDeadline, good, nil); err != nil || a.Found {
		t.Errorf("without bytes: %v, %v", a.Found, err)
	}
	if _, _, err := visitor.owner.ask(askDeadline, request{Op: 99}, nil); err == nil {
		t.Error("an unknown request is answered")
	}
	if owner.Cached(v) != 0 {
		t.Error("something was kept")
	}
	if !offer(good, v.Size, offerSeals) {
		t.Error("a good offer is refused")
	}
}

// TestOtherProtocol: with an owner of another version a member goes without, says so, and takes its place when it ends.
func TestOtherProtocol(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tier, err := disk.Open(disk.Config{Dir: dir, Size: 64 * mib, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketFile), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			w := newWire(conn)
			if _, err := w.receive(&hello{}); err == nil {
				_ = w.send(welcome{Protocol: protocol + 1}, nil)
			}
			w.close()
		}
	}()
	var log bytes.Buffer
	m, err := Open(Config{Disk: disk.Config{Dir: dir, Size: 64 * mib, MinFree: 1, Queue: mib, Log: slog.New(slog.NewTextHandler(&log, nil))}})
	if err != nil {
		t.Fatal(err)
	}
	if v := versionOf("object", 5); m.Hold(v, 0) != nil || m.Lease(v) != nil || m.Cached(v) != 0 || m.Admits(v, 0) || m.Idle() ||
		m.Offer(&disk.Offer{Version: v, Data: make([]byte, 5), Blocks: 1, Done: func() { t.Error("done") }}) {
		t.Error("something is found without an owner")
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it takes the place", m.Owner)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	_ = l.Close() // its name is the new owner's
	<-ended
	if n := strings.Count(log.String(), "another version of headrace"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
}
