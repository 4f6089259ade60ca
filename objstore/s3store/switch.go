package s3store

import "time"

// A store may have two endpoints: a cache near the machine, and itself. headrace knows of one such pair, LOTA and
// CoreWeave AI Object Storage.
const (
	// AutoEndpoint, for [Config].Endpoint, takes LOTA where it answers, and the store itself elsewhere.
	AutoEndpoint = "auto"

	// Lota is the cache on the nodes of a CoreWeave cluster, by plain HTTP; Origin is the store whose it is.
	Lota   = "http://cwlota.com"
	Origin = "https://cwobject.com"
)

const (
	// failuresToLeave in a row have requests go to the store itself. About one request in a thousand fails at LOTA and
	// succeeds when tried again.
	failuresToLeave = 3
	// answersToReturn in a row have requests go to LOTA again.
	answersToReturn = 2
	// firstPause is how long after it was left LOTA is asked whether it answers; each failure doubles it, to longestPause
	// at most.
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// endpointSwitch decides which of the two endpoints requests go to: a state machine without a clock.
//
// INVARIANT: failures counts only while the near endpoint is used, answers and pause only while it is not.
type endpointSwitch struct {
	origin   bool          // requests go to the store itself
	failures int           // of requests to the near endpoint, in a row
	answers  int           // to questions whether it is back, in a row
	pause    time.Duration // until the next such question
}

// leave has requests go to the store itself from now on.
func (s *endpointSwitch) leave(pause time.Duration) { *s = endpointSwitch{origin: true, pause: pause} }

// failed notes that a request to the near endpoint has failed, without an answer or with one that says that it is
// broken; unreachable: nothing listens there. It tells whether requests go to the store itself because of it.
func (s *endpointSwitch) failed(unreachable bool) (left bool) {
	if s.origin {
		return false
	}
	if s.failures++; s.failures < failuresToLeave && !unreachable {
		return false
	}
	s.leave(firstPause)
	return true
}

// answered notes that a request to the near endpoint was answered.
func (s *endpointSwitch) answered() { s.failures = 0 }

// asked notes what came of the question whether the near endpoint is back. It tells whether requests go there because
// of it.
func (s *endpointSwitch) asked(answers bool) (returned bool) {
	switch {
	case !s.origin:
		return false
	case !answers:
		s.answers, s.pause = 0, min(2*s.pause, longestPause)
		return false
	}
	if s.answers++; s.answers < answersToReturn {
		s.pause = firstPause
		return false
	}
	*s = endpointSwitch{}
	return true
}
