package objstore

import (
	"context"
	"sync"
)

// Class says how urgent a request is. Lower values go first; the gate never lets a demand read wait behind prefetch.
type Class int

// The classes in the order in which the gate serves them.
const (
	ClassMetadata Class = iota // somebody waits for a name or an attribute
	ClassDemand                // somebody waits for these bytes
	ClassUpload                // somebody waits for close or fsync
	ClassPrefetch              // somebody will probably want these bytes
	ClassWarm                  // bulk work that takes what is left
	NumClasses    = int(ClassWarm) + 1
)

// String is the class as it stands in metrics and logs.
func (c Class) String() string {
	if c < 0 || int(c) >= NumClasses {
		return "unknown"
	}
	return [NumClasses]string{"metadata", "demand", "upload", "prefetch", "warm"}[c]
}

// Ticket carries a request's class through the layers, and lets whoever made it raise the class while the request
// waits: a prefetch that a reader has caught up with is a demand read from then on. Several requests may share a
// ticket, but one that may be raised belongs to one request at a time: only the last to wait hears of it.
type Ticket struct {
	mu     sync.Mutex // guards class, raised
	class  Class
	raised func(Class)
}

// NewTicket makes a ticket of class c.
func NewTicket(c Class) *Ticket { return &Ticket{class: c} }

// Class is the ticket's class now.
func (t *Ticket) Class() Class {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.class
}

// Raise makes the ticket at least as urgent as c. It never lowers it.
func (t *Ticket) Raise(c Class) {
	t.mu.Lock()
	if c >= t.class {
		t.mu.Unlock()
		return
	}
	t.class = c
	raised := t.raised
	t.mu.Unlock()
	if raised != nil {
		raised(c)
	}
}

// OnRaise registers the one function that is told when the class is raised, nil for none. It is called without the
// ticket's lock, at most once a Raise, and may be called once more just after it was unregistered. It must not block.
func (t *Ticket) OnRaise(f func(Class)) {
	t.mu.Lock()
	t.raised = f
	t.mu.Unlock()
}

type ticketKey struct{}

// WithTicket gives the requests made with the returned context the ticket t.
func WithTicket(ctx context.Context, t *Ticket) context.Context {
	return context.WithValue(ctx, ticketKey{}, t)
}

// TicketFrom returns the context's ticket, or a new one of class otherwise when it has none.
func TicketFrom(ctx context.Context, otherwise Class) *Ticket {
	if t, ok := ctx.Value(ticketKey{}).(*Ticket); ok {
		return t
	}
	return NewTicket(otherwise)
}
