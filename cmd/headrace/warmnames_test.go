package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Names that cannot be kept are an error, and are not replaced by a reader that is none.
func TestNamesThatCannotBeKept(t *testing.T) {
	broken := errors.New("broken")
	o := warmOptions{stdin: io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), args: []string{"-"}}
	if _, err := o.keepNames(t.Context()); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if err := o.eachArgument(t.Context(), func(string) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("names that are read all the same: %v", err)
	}
}
