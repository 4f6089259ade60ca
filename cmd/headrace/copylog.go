package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// copyLog remembers the multipart uploads of a command's copies while they are under way, in a file that is locked for
// as long as the process lives. What stands in a file that nobody has locked was left by a process that was killed, and
// the next one that comes to that bucket gives it up: exactly those uploads, by their ids, and nobody else's. Where
// machines share the directory, a lock may be known to one of them only, so each gives up what itself has left since it
// was started, which is in the files' names. It is an [objstore.UploadLog].
type copyLog struct {
	dir    string // "" where there is no place: then nothing is remembered
	boot   string // of this machine; "" where the kernel does not tell
	alone  func() bool
	now    func() time.Time
	stderr io.Writer // is told, once, what cannot be remembered

	mu   sync.Mutex // guards what follows
	file *os.File   // nil before the first upload
	last int        // number of an upload
	open int        // uploads under way
	torn bool       // the last line may be there in part
	told bool       // that something is not remembered
}

// copyLine is a line of the file. The first one of a number says what is intended, a second one with which id it is
// there, and the last one that it is gone.
type copyLine struct {
	Number   int       `json:"n"`
	Endpoint string    `json:"endpoint,omitempty"`
	Bucket   string    `json:"bucket,omitempty"`
	Key      []byte    `json:"key,omitempty"` // as it is stored; need not be text
	At       time.Time `json:"at,omitzero"`
	ID       string    `json:"id,omitempty"`
	Ended    bool      `json:"ended,omitempty"`
}

const copyLogSuffix = ".log"

func newCopyLog(now func() time.Time, stderr io.Writer) *copyLog {
	l := &copyLog{boot: journal.Boot(), now: now, stderr: stderr}
	l.alone = func() bool { return onLocalDisk(l.dir) }
	if dir, err := os.UserCacheDir(); err == nil {
		l.dir = filepath.Join(dir, "headrace", "copies")
	}
	return l
}

// unlogged is the number of an upload that is not remembered.
const unlogged = 0

// Intend implements [objstore.UploadLog]. What cannot be remembered is copied all the same: the log is for what a kill
// would leave.
func (l *copyLog) Intend(b objstore.Bucket, key string) (int, error) {
	at := asStored(object{b, objstore.Entry{Key: key}})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.create(); err != nil {
		l.tell(err)
		return unlogged, nil
	}
	l.last++
	if err := l.write(copyLine{Number: l.last, Endpoint: at.bucket.Endpoint(), Bucket: at.bucket.Name(), Key: []byte(at.Key), At: l.now()}); err != nil {
		l.tell(err)
		return unlogged, nil
	}
	l.open++
	return l.last, nil
}

// Created implements [objstore.UploadLog].
func (l *copyLog) Created(number int, id string) error {
	if number == unlogged {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(copyLine{Number: number, ID: id}); err != nil {
		l.tell(err)
	}
	return nil
}

// Ended implements [objstore.UploadLog].
func (l *copyLog) Ended(number int) {
	if number == unlogged {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	_ = l.write(copyLine{Number: number, Ended: true}) // else it is given up in vain one day
}

// tell says what is not remembered, and what that means. Called with mu held.
func (l *copyLog) tell(err error) {
	if !l.told {
		l.told = true
		fmt.Fprintf(l.stderr, "which multipart uploads are under way cannot be written down: %v: if this is killed, they stay in the store until somebody gives them up; `headrace doctor` tells of those older than a day\n", err)
	}
}

// create makes the file. Nobody sees it before it is locked. Called with mu held.
func (l *copyLog) create() error {
	if l.file != nil {
		return nil
	}
	if l.dir == "" {
		return errors.New("there is neither a home directory nor XDG_CACHE_HOME")
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(l.dir, rand.Text()+"."+l.boot)
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = os.Rename(name, name+copyLogSuffix)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(name))
	}
	l.file = file
	return nil
}

// write adds a line with one write(2): a kill leaves it whole or not at all, and a full disk a part of it, which the
// next line does not go on. Called with mu held.
func (l *copyLog) write(line copyLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if l.torn {
		text = append([]byte{'\n'}, text...)
	}
	_, err = l.file.Write(append(text, '\n'))
	l.torn = err != nil
	return err
}

// close ends the remembering. What could not be given up stays for the next run.
func (l *copyLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	var err error
	if l.open == 0 {
		err = os.Remove(l.name())
	}
	return errors.Join(err, l.file.Close())
}

func (l *copyLog) name() string { return l.file.Name() + copyLogSuffix }
