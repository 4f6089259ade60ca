package replicas

import (
	"strconv"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Of more versions than are remembered it may be believed that a copy was read where none was, and never the other way
// round.
func TestSentIsBounded(t *testing.T) {
	var s sent
	at := time.Unix(1000, 0)
	version := func(i int) objstore.Version { return objstore.Version{Key: strconv.Itoa(i)} }
	for i := range 3 * maxSent {
		s.note(version(i), at.Add(time.Duration(i)*time.Second))
		if len(s.last) > maxSent {
			t.Fatalf("%d are remembered", len(s.last))
		}
	}
	for i := range 3 * maxSent {
		if !s.since(version(i), at.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("it is forgotten that a copy of %d was read", i)
		}
	}
	if s.since(version(-1), at.Add(3*maxSent*time.Second)) || s.since(version(0), at.Add(3*maxSent*time.Second)) {
		t.Error("a copy was read of what is read later")
	}
}
