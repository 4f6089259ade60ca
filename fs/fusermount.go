package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fusermount3 is a set-user-id program that mounts for users other than root: it opens the device, mounts it, and hands
// the descriptor back over a socket whose number it finds in _FUSE_COMMFD.

// commVariable and commDescriptor are how fusermount3 is told of the socket: the first descriptor after the standard
// ones.
const (
	commVariable   = "_FUSE_COMMFD"
	commDescriptor = 3
)

// findFusermount is where the program is. Old systems have it without the number.
func findFusermount() (path string, found bool) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// mountByHelper has the program mount at dir and returns the descriptor it sends.
func mountByHelper(helper, dir string, opts MountOptions, checked bool) (fd int, err error) {
	access := "rw"
	if opts.readOnly {
		access = "ro"
	}
	options := []string{access, "nosuid", "nodev", "subtype=" + fsSubtype, "fsname=" + opts.FSName, fmt.Sprintf("max_read=%d", requestSize)}
	options = append(options, accessOptions(opts, checked)...)
	for i := range options {
		options[i] = escapeOption(options[i])
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fs: cannot make a socket for %s: %w", helper, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fusermount"), os.NewFile(uintptr(pair[1]), "fusermount")
	defer func() { _ = ours.Close() }()

	var said bytes.Buffer
	cmd := exec.Command(helper, "-o", strings.Join(options, ","), "--", dir)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", commVariable, commDescriptor))
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = &said
	err = cmd.Run()
	_ = theirs.Close() // else a helper that sent nothing would leave us waiting for it
	if err != nil {
		return -1, fmt.Errorf("fs: %s: %w: %s", helper, helperError(err), strings.TrimSpace(said.String()))
	}
	if fd, err = receiveDescriptor(ours); err != nil {
		return -1, fmt.Errorf("fs: %s sent no descriptor: %w", helper, err)
	}
	return fd, nil
}

// helperError is what the program's failure is taken for: it says why in words only, and refusing is most of what it
// does.
func helperError(err error) error {
	if _, ran := errors.AsType[*exec.ExitError](err); ran {
		return errors.Join(os.ErrPermission, err)
	}
	return err
}

// escapeOption protects what separates mount options.
func escapeOption(option string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(option)
}

// receiveDescriptor takes one descriptor out of the socket.
func receiveDescriptor(socket *os.File) (fd int, err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	control := make([]byte, unix.CmsgSpace(4)) // room for one descriptor
	var n int
	var received error
	err = conn.Control(func(s uintptr) {
		_, n, _, _, received = unix.Recvmsg(int(s), make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	})
	if err := errors.Join(err, received); err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, syscall.ENOMSG
}
