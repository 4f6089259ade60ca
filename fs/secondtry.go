package fs

import (
	"sync"
	"time"
)

const (
	// secondTry is how long after ESTALE a request is taken for a part of the kernel's second try. It comes at once, but
	// the store's answer to its lookup is as old as that took: on a machine with many times more to do than it can, more
	// than a second.
	secondTry = 5 * time.Second

	// maxSecondTries bounds what is remembered; it need cover only the names that are found out at the same time.
	maxSecondTries = 4096
)

// secondTries are the names for which the kernel was told ESTALE a moment ago. It forgives that once: it looks the name
// up again, once or twice, and goes on; a second ESTALE reaches the program. So while a name is among them a lookup
// asks the store, if it must, rather than leave that to the request that follows, and what follows believes the lookup.
// A name that changes all the time would otherwise fail a program that did nothing but look at it.
//
// What is believed was asked after the ESTALE, so after the call began, and no longer ago than secondTry. It goes by
// name and time, since nothing else tells who is trying again: the kernel may drop the node of its first lookup before
// it makes the second, and others look at the same name meanwhile.
type secondTries struct {
	mu    sync.Mutex // guards names
	names map[childName]staleSpell
}

// staleSpell is a time in which ESTALE was told of a name, with never as much as secondTry in between.
type staleSpell struct {
	first, last time.Time
}

// over tells whether no second try is to come.
func (s staleSpell) over(now time.Time) bool { return now.Sub(s.last) >= secondTry }

// expect notes that somebody was told ESTALE.
func (s *secondTries) expect(at childName, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) >= maxSecondTries {
		for name, spell := range s.names {
			if spell.over(now) {
				delete(s.names, name)
			}
		}
		if len(s.names) >= maxSecondTries {
			clear(s.names)
		}
	}
	if s.names == nil {
		s.names = make(map[childName]staleSpell)
	}
	spell, ok := s.names[at]
	if !ok || spell.over(now) {
		spell.first = now
	}
	spell.last = now
	s.names[at] = spell
}

// expected tells whether a lookup of the name may be a second try.
func (s *secondTries) expected(at childName, now time.Time) bool {
	_, ok := s.spell(at, now)
	return ok
}

// believes tells whether a request may go by what the store said of the name at a time.
func (s *secondTries) believes(at childName, confirmed, now time.Time) bool {
	spell, ok := s.spell(at, now)
	return ok && !confirmed.Before(spell.first) && now.Sub(confirmed) < secondTry
}

func (s *secondTries) spell(at childName, now time.Time) (staleSpell, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spell, ok := s.names[at]
	if ok && spell.over(now) {
		delete(s.names, at)
		ok = false
	}
	return spell, ok
}
