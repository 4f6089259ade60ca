package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unmount takes the mount away from dir. EBUSY while somebody uses it, and then nothing has changed. When it returns
// nil the mount is off the table; [Server.Wait] returns soon after. ErrNotMounted when it is off the table already, but
// still in use.
func (s *Server) Unmount() error { return s.detach(false) }

// detach takes this mount off its directory, and no other: once it was taken away lazily, somebody may have mounted
// there anew.
func (s *Server) detach(lazy bool) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	return detach(s.dir, lazy)
}

// inPlace is nil while this mount is the one at its directory.
func (s *Server) inPlace() error {
	info, err := findMount(s.dir)
	if err == nil && (info.major != s.info.major || info.minor != s.info.minor) {
		err = fmt.Errorf("fs: %w: another mount is at %s", ErrNotMounted, s.dir)
	}
	return err
}

// Abort takes the mount away whoever uses it: waiting requests end, open files fail from now on. It waits for nobody.
// What the kernel will not end while somebody holds on to it (which takes a user without rights and no /sys/fs/fuse)
// ends with the process.
func (s *Server) Abort() {
	ended := s.endConnection()
	s.fs.stop()
	err := s.detach(true)
	if err != nil && !errors.Is(err, ErrNotMounted) {
		s.log.Warn("cannot take the mount off its directory", "dir", s.dir, "error", err)
	}
	if !ended {
		s.abandon.Do(func() { close(s.abandoned) })
	}
}

// endConnection has the kernel fail all requests, those under way and all to come.
func (s *Server) endConnection() bool {
	abort := filepath.Join("/sys/fs/fuse/connections", strconv.Itoa(s.info.minor), "abort")
	if os.WriteFile(abort, []byte("1"), 0) == nil {
		return true
	}
	if s.inPlace() != nil {
		return s.device.dead()
	}
	err := unix.Unmount(s.dir, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW) // fails the connection even where it answers EBUSY
	return err == nil || s.device.dead()
}

// Unmount takes the mount of headrace that is at dir away, also one whose process is dead. Lazily means that the name
// goes now and the file system when its last user does. Errors: ErrNotMounted, EBUSY, os.ErrPermission.
func Unmount(dir string, lazy bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("fs: %w", err)
	}
	return detach(dir, lazy)
}

func detach(dir string, lazy bool) error {
	info, err := findMount(dir)
	if err != nil {
		return err
	}
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err = unix.Unmount(dir, flags)
	if err == nil {
		return nil
	}
	if helper, found := findFusermount(); found && errors.Is(err, unix.EPERM) {
		return unmountByHelper(helper, info, lazy)
	}
	return fmt.Errorf("fs: unmount %s: %w", dir, err)
}

func unmountByHelper(helper string, info mountInfo, lazy bool) error {
	arguments := []string{"-u"}
	if lazy {
		arguments = append(arguments, "-z")
	}
	var said bytes.Buffer
	cmd := exec.Command(helper, append(arguments, "--", info.dir)...)
	cmd.Stderr = &said
	err := cmd.Run()
	if err == nil {
		return nil
	}
	// It says why in words only. It refuses whoever did not mount; of the others, those whose mount is busy.
	reason := error(syscall.EBUSY)
	if info.owner != os.Getuid() {
		reason = os.ErrPermission
	}
	return fmt.Errorf("fs: unmount %s: %w: %s", info.dir, reason, strings.TrimSpace(said.String()))
}
