package fs

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var flockModes = map[string]int{"shared": unix.LOCK_SH, "exclusive": unix.LOCK_EX, "unlock": unix.LOCK_UN}

// childFlock takes a flock, waiting or not, and holds it until told to end.
func childFlock(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	mode := flockModes[args[1]]
	if args[2] == "try" {
		mode |= unix.LOCK_NB
	}
	if err := unix.Flock(int(file.Fd()), mode); err != nil {
		fmt.Println(err)
		return nil
	}
	here()
	return nil
}

// childRangeLock takes a shared lock on a range of bytes, and holds it until told to end.
func childRangeLock(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	first, _ := strconv.ParseInt(args[1], 10, 64)
	length, _ := strconv.ParseInt(args[2], 10, 64)
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: first, Len: length}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &l); err != nil {
		return err
	}
	here()
	return nil
}

// childIdleLock prints what would be in the way of an exclusive lock on the whole file.
func childIdleLock(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &l); err != nil {
		return err
	}
	fmt.Println(l.Type == unix.F_RDLCK, l.Start, l.Len)
	return nil
}

// childSeekdir reads a directory with getdents in small pieces, noting each offset, then goes back to some of them and
// prints whether the names after them are the same.
func childSeekdir(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	entries, err := readEntries(fd)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.name] {
			return fmt.Errorf("%s is there twice", e.name)
		}
		seen[e.name] = true
	}
	for i := 0; i < len(entries); i += max(1, len(entries)/7) {
		if _, err := unix.Seek(fd, entries[i].next, unix.SEEK_SET); err != nil {
			return err
		}
		rest, err := readEntries(fd)
		if err != nil {
			return err
		}
		if len(rest) != len(entries)-i-1 || len(rest) > 0 && rest[0] != entries[i+1] {
			return fmt.Errorf("after entry %d of %d there are %d", i, len(entries), len(rest))
		}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	again, err := readEntries(fd)
	fmt.Println(len(entries), len(again), entries[0].name, entries[1].name)
	return err
}

type entry struct {
	name string
	next int64
	ino  uint64
}

// readEntries reads from where the directory's descriptor is to the end, with a buffer that is smaller than any the
// kernel asks with.
func readEntries(fd int) (entries []entry, err error) {
	buf := make([]byte, 1000)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return entries, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			length := int(rest[16]) | int(rest[17])<<8
			record := rest[:length]
			name := record[19:]
			for i, c := range name {
				if c == 0 {
					name = name[:i]
					break
				}
			}
			entries = append(entries, entry{string(name), int64(word(record[8:])), word(record)})
			rest = rest[length:]
		}
	}
}

func word(b []byte) (w uint64) {
	for i := range 8 {
		w |= uint64(b[i]) << (8 * i)
	}
	return w
}
