package main

import (
	"fmt"
	"strconv"
	"time"
)

// permissions is a file mode on the command line: permission bits in octal.
type permissions uint32

// Set implements flag.Value.
func (p *permissions) Set(text string) error {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not a mode: write permission bits in octal, as 0644", text)
	}
	if n == 0 {
		return fmt.Errorf("%q lets nobody in: leave the flag out for the default", text)
	}
	*p = permissions(n)
	return nil
}

func (p *permissions) String() string { return fmt.Sprintf("%04o", uint32(*p)) }

// ownerID is a user's or a group's number on the command line.
type ownerID uint32

// Set implements flag.Value.
func (id *ownerID) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 1<<32-1 { // the kernel's ids have 32 bits, and the largest means "none"
		return fmt.Errorf("%q is not a number of a user or group: `id` shows yours", text)
	}
	*id = ownerID(n)
	return nil
}

func (id *ownerID) String() string { return strconv.FormatUint(uint64(*id), 10) }

// interval is a span of time on the command line, zero or more.
type interval time.Duration

// Set implements flag.Value.
func (i *interval) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration: write it as 1s, 500ms or 10m", text)
	}
	*i = interval(d)
	return nil
}

func (i *interval) String() string { return time.Duration(*i).String() }

// choice is one of a few words on the command line.
type choice struct {
	value string
	among []string
}

// oneOf makes a choice whose first word is the default.
func oneOf(words ...string) choice { return choice{value: words[0], among: words} }

// Set implements flag.Value.
func (c *choice) Set(text string) error {
	for _, word := range c.among {
		if text == word {
			c.value = text
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %v", text, c.among)
}

func (c *choice) String() string { return c.value }
