package cwsim

import (
	"net/http"
	"net/url"
	"time"
)

// partitionBytes is how much of a key says which partition of the store it is in: the length of a hash in the
// documented form.
const partitionBytes = 6

func partition(key string) string { return key[:min(len(key), partitionBytes)] }

func (s *Store) enterPartition(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := c.bucket.Name + "/" + partition(c.key)
	if s.options.PartitionLimit > 0 && s.parts[p] >= s.options.PartitionLimit {
		s.throttled++
		return false
	}
	s.parts[p]++
	return true
}

func (s *Store) leavePartition(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := c.bucket.Name + "/" + partition(c.key)
	if s.parts[p]--; s.parts[p] == 0 {
		delete(s.parts, p)
	}
}

// beginGet counts a GET in, and tells whether it is one that stalls.
func (s *Store) beginGet() (stalls bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active++
	s.gets++
	return s.options.StallEvery > 0 && s.gets%s.options.StallEvery == 0
}

func (s *Store) endGet() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
}

// countOther counts requests that are no GETs of objects in or out, and tells how many there are.
func (s *Store) countOther(change int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others += change
	return s.others
}

// timeOf is what n bytes of one GET take now.
func (s *Store) timeOf(n int64) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model.Time(s.active, n)
}

// stage has LOTA hold an object in a while. One that it holds or fetches already keeps its time.
func (s *Store) stage(c *call, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := c.bucket.Name + "/" + c.key
	at := time.Now().Add(after)
	if known, ok := s.resident[name]; !ok || at.Before(known) {
		s.resident[name] = at
	}
}

// written has LOTA forget what was written over. What was renamed it keeps, under the new name.
func (s *Store) written(c *call, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := c.bucket.Name + "/" + c.key
	delete(s.resident, name)
	source, err := url.PathUnescape(r.Header.Get("X-Amz-Rename-Source"))
	if err != nil || source == "" {
		return
	}
	source = c.bucket.Name + "/" + source
	if at, ok := s.resident[source]; ok {
		s.resident[name] = at
		delete(s.resident, source)
	}
}

// Resident tells whether LOTA holds an object.
func (s *Store) Resident(bucketName, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.resident[bucketName+"/"+key]
	return ok && !time.Now().Before(at)
}
