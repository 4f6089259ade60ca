package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// A mount that can be written to answers `headrace uploads` at a socket in its staging directory:
//
//	GET  /uploads                             what is not stored, as JSON
//	GET  /progress                            how far storing is, as JSON
//	POST /uploads/ID/retry?replace=true       see upload.Uploads.Retry
//	POST /uploads/ID/abort
//	POST /uploads/ID/store?key=KEY
//
// The directory and the socket are open to their owner only, and whoever connects must be that owner, or root.

// refusals are the errors that a person can do something about, by the status they travel as.
var refusals = map[int]error{
	http.StatusConflict: upload.ErrReplaced,
	http.StatusLocked:   upload.ErrBeingWritten,
	http.StatusTooEarly: upload.ErrBeingMoved,
	http.StatusGone:     journal.ErrDamaged,
	http.StatusNotFound: os.ErrNotExist,
}

// control is the socket of a mount. The zero value serves nothing.
type control struct {
	directory *os.File // keeps the socket's name short: see socketIn
	listener  net.Listener
	server    *http.Server
	done      chan struct{} // closed when the serving goroutine has ended
}

// openControl begins to answer for a mount, until close.
func openControl(dir *journal.Dir, u *upload.Uploads, buckets upload.Buckets, log *slog.Logger) (*control, error) {
	directory, err := os.Open(filepath.Dir(dir.Control()))
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketIn(directory, dir), Net: "unix"})
	if err != nil {
		return nil, errors.Join(err, directory.Close())
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(dir.Control(), 0o600); err != nil {
		return nil, errors.Join(err, l.Close(), directory.Close())
	}
	c := &control{directory: directory, listener: ownersOnly{l}, done: make(chan struct{})}
	c.server = &http.Server{Handler: controlPages(u, buckets), ReadHeaderTimeout: headerDeadline, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		defer close(c.done)
		if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("`headrace uploads` is not answered any more", "error", err)
		}
	}()
	return c, nil
}

// socketIn names the socket by way of an open directory: the name of a socket may have 107 bytes, unix(7), and the
// directory's may be longer.
func socketIn(directory *os.File, dir *journal.Dir) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", directory.Fd(), filepath.Base(dir.Control()))
}

// close ends what is being answered. What was begun for a person is begun: it is the uploads' own.
func (c *control) close() error {
	if c == nil {
		return nil
	}
	err := c.server.Close()
	<-c.done
	return errors.Join(err, c.directory.Close())
}

// ownersOnly refuses connections of others than this process' user and root.
type ownersOnly struct{ *net.UnixListener }

func (l ownersOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if peer, err := peerOf(c); err == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid()) {
			return c, nil
		}
		c.Close()
	}
}

// peerOf is who is at the other end.
func peerOf(c *net.UnixConn) (peer *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return peer, errors.Join(err, failed)
}

func controlPages(u *upload.Uploads, buckets upload.Buckets) http.Handler {
	pages := http.NewServeMux()
	tell := func(w http.ResponseWriter, result any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result) // who asked may be gone
	}
	pages.HandleFunc("GET /progress", func(w http.ResponseWriter, _ *http.Request) { tell(w, u.Progress()) })
	pages.HandleFunc("GET /uploads", func(w http.ResponseWriter, _ *http.Request) {
		all, err := u.Status()
		if err != nil {
			refuse(w, err)
			return
		}
		tell(w, all)
	})
	act := func(do func(ctx context.Context, id string, q url.Values) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.Context(), r.PathValue("id"), r.URL.Query()); err != nil {
				refuse(w, err)
			}
		}
	}
	pages.HandleFunc("POST /uploads/{id}/retry", act(func(ctx context.Context, id string, q url.Values) error {
		return u.Retry(ctx, buckets, id, q.Get("replace") == "true")
	}))
	pages.HandleFunc("POST /uploads/{id}/abort", act(func(ctx context.Context, id string, _ url.Values) error {
		return u.Abort(ctx, buckets, id)
	}))
	pages.HandleFunc("POST /uploads/{id}/store", act(func(ctx context.Context, id string, q url.Values) error {
		return u.StoreAs(ctx, buckets, id, q.Get("key"))
	}))
	return pages
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for code, refusal := range refusals {
		if errors.Is(err, refusal) {
			status = code
		}
	}
	http.Error(w, err.Error(), status)
}

// controlled asks a mount by its socket.
type controlled struct {
	pid       int // of the mount's process, 0 where it is not known
	client    *http.Client
	directory *os.File
}

// dialControl finds the mount of a staging directory; nil when none answers.
func dialControl(ctx context.Context, dir *journal.Dir) (*controlled, error) {
	directory, err := os.Open(dir.Path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socketIn(directory, dir))
	}
	first, err := dial(ctx, "", "")
	if err != nil { // nobody is there
		return nil, directory.Close()
	}
	defer first.Close()
	c := &controlled{client: &http.Client{Transport: &http.Transport{DialContext: dial}}, directory: directory}
	if conn, is := first.(*net.UnixConn); is {
		if peer, err := peerOf(conn); err == nil {
			c.pid = int(peer.Pid)
		}
	}
	return c, nil
}

func (c *controlled) close() {
	c.client.CloseIdleConnections()
	c.directory.Close()
}

// ask makes a request, and reads the answer into result if that is not nil.
func (c *controlled) ask(ctx context.Context, method, path string, result any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://mount"+path, nil)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("the mount does not answer: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("the mount does not answer: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		if result == nil {
			return nil
		}
		return json.Unmarshal(text, result)
	}
	said := string(bytes.TrimSpace(text))
	if refusal, ok := refusals[answer.StatusCode]; ok {
		return fmt.Errorf("%w: %s", refusal, said)
	}
	return errors.New(said)
}

func (c *controlled) status(ctx context.Context) (all []upload.Status, err error) {
	err = c.ask(ctx, http.MethodGet, "/uploads", &all)
	return all, err
}

func (c *controlled) progress(ctx context.Context) (p upload.Progress, err error) {
	err = c.ask(ctx, http.MethodGet, "/progress", &p)
	return p, err
}

func (c *controlled) retry(ctx context.Context, id string, replace bool) error {
	return c.ask(ctx, http.MethodPost, fmt.Sprintf("/uploads/%s/retry?replace=%t", url.PathEscape(id), replace), nil)
}

func (c *controlled) abort(ctx context.Context, id string) error {
	return c.ask(ctx, http.MethodPost, fmt.Sprintf("/uploads/%s/abort", url.PathEscape(id)), nil)
}

func (c *controlled) storeAs(ctx context.Context, id, key string) error {
	return c.ask(ctx, http.MethodPost, fmt.Sprintf("/uploads/%s/store?key=%s", url.PathEscape(id), url.QueryEscape(key)), nil)
}
