package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// size is a number of bytes on the command line: 512MiB, 2GiB, 1.5GiB, 4GB, 1048576.
type size int64

// Set implements flag.Value.
func (s *size) Set(text string) error {
	n, err := humanize.ParseBytes(strings.TrimSpace(text))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write it as 512MiB or 2GiB", text)
	}
	*s = size(n)
	return nil
}

// String is the size in the largest binary unit that gives a whole number, so that Set(String()) changes nothing.
func (s *size) String() string {
	n := int64(*s)
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{gib, "GiB"}, {mib, "MiB"}, {kib, "KiB"}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
