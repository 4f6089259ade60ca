package fs

import (
	"fmt"
	"os"
	"strconv"
)

// raiseReadAhead has the kernel read ahead further than the 128 KiB the protocol can agree on. It is a setting of the
// mount's backing device, which the table of mounts names: nothing below the mount is touched. Only root may; others
// keep the 128 KiB, which costs them CPU and nothing else.
func (s *Server) raiseReadAhead(bytes int) {
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", s.info.major, s.info.minor)
	if err := os.WriteFile(path, []byte(strconv.Itoa(bytes>>10)), 0); err != nil {
		s.log.Info("the kernel's readahead stays as it is", "dir", s.dir, "error", err)
	}
}
