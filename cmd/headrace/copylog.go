package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// copyLog remembers the multipart uploads of a command's copies while they are under way, in a file that is locked for as long as the process lives. What stands in a file that nobody has locked was left
// by a process that was killed, and the next one that comes to that bucket gives it up: exactly those uploads, by their ids, and nobody else's. It is an [objstore.UploadLog].
type copyLog struct {
	dir string // "" where there is no place: then nothing is remembered
	now func() time.Time

	mu   sync.Mutex // guards what follows
	file *os.File   // nil before the first upload
	last int        // number of an upload
	open int        // uploads under way
	torn bool       // the last line may be there in part
}

// copyLine is a line of the file. The first one of a number says what is intended, a second one with which id it is there, and the last one that it is gone.
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

func newCopyLog(now func() time.Time) *copyLog {
	l := &copyLog{now: now}
	if dir, err := os.UserCacheDir(); err == nil {
		l.dir = filepath.Join(dir, "headrace", "copies")
	}
	return l
}

// Intend implements [objstore.UploadLog].
func (l *copyLog) Intend(b objstore.Bucket, key string) (int, error) {
	if l.dir == "" {
		return 0, nil
	}
	at := asStored(object{b, objstore.Entry{Key: key}})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.create(); err != nil {
		return 0, fail(exitFailure, err, "what is being copied cannot be remembered: %v", err)
	}
	l.last++
	if err := l.write(copyLine{Number: l.last, Endpoint: at.bucket.Endpoint(), Bucket: at.bucket.Name(), Key: []byte(at.Key), At: l.now()}); err != nil {
		return 0, err
	}
	l.open++
	return l.last, nil
}

// Created implements [objstore.UploadLog].
func (l *copyLog) Created(number int, id string) error {
	if l.dir == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(copyLine{Number: number, ID: id})
}

// Ended implements [objstore.UploadLog].
func (l *copyLog) Ended(number int) {
	if l.dir == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	_ = l.write(copyLine{Number: number, Ended: true}) // else it is given up in vain one day
}

// create makes the file. Nobody sees it before it is locked. Called with mu held.
func (l *copyLog) create() error {
	if l.file != nil {
		return nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(l.dir, rand.Text())
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

// write adds a line with one write(2): a kill leaves it whole or not at all, and a full disk a part of it, which the next line does not go on. Called with mu held.
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

// leftUpload is one that a process that was killed has left, or was about to begin when ID is empty.
type leftUpload struct {
	Endpoint, Bucket, Key, ID string
	At                        time.Time
}

// leftUploads are those of a file, by their numbers.
func leftUploads(file *os.File) (map[int]leftUpload, error) {
	left := make(map[int]leftUpload)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line copyLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // what a full disk has left of a line
		}
		u, known := left[line.Number]
		switch {
		case line.Ended:
			delete(left, line.Number)
		case known:
			u.ID = line.ID
			left[line.Number] = u
		default:
			left[line.Number] = leftUpload{line.Endpoint, line.Bucket, string(line.Key), line.ID, line.At}
		}
	}
	return left, lines.Err()
}

// giveUpLeft aborts the uploads that processes which were killed have left in buckets, and counts them. doubt is told of one whose id nobody has heard of, once: it is left alone.
func (l *copyLog) giveUpLeft(ctx context.Context, buckets []objstore.Bucket, doubt func(leftUpload)) (given int, err error) {
	if l.dir == "" {
		return 0, nil
	}
	names, err := filepath.Glob(filepath.Join(l.dir, "*"+copyLogSuffix))
	for _, name := range names {
		n, failed := giveUpIn(ctx, name, buckets, doubt)
		given, err = given+n, errors.Join(err, failed)
	}
	return given, err
}

// giveUpIn is giveUpLeft for one file, and removes it when nothing of it is left.
func giveUpIn(ctx context.Context, name string, buckets []objstore.Bucket, doubt func(leftUpload)) (given int, err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // its process has come to its end
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return 0, nil // its process lives
	}
	left, err := leftUploads(file)
	if err != nil {
		return 0, err
	}
	again := &copyLog{file: file}
	for _, b := range buckets {
		b = asStored(object{bucket: b}).bucket
		for number, u := range left {
			if u.Endpoint != b.Endpoint() || u.Bucket != b.Name() {
				continue
			}
			switch {
			case u.ID == "":
				doubt(u)
			default:
				if failed := b.AbortUpload(ctx, u.Key, u.ID); failed != nil {
					err = errors.Join(err, failed)
					continue
				}
				given++
			}
			delete(left, number)
			err = errors.Join(err, again.write(copyLine{Number: number, Ended: true}))
		}
	}
	if len(left) == 0 {
		if removed := os.Remove(name); !errors.Is(removed, os.ErrNotExist) { // its process has come to its end in this moment
			err = errors.Join(err, removed)
		}
	}
	return given, err
}
