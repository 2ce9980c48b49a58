package api

import (
	"sync"
	"time"
)

// sparing lets one line a second through and counts the others: a database that is down must not fill the disk with logs.
type sparing struct {
	mu   sync.Mutex
	next time.Time
	kept int
}

// may tells whether to log now, and how many lines were left out since the last one.
func (s *sparing) may(now time.Time) (leftOut int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.kept++
		return 0, false
	}
	leftOut, s.kept = s.kept, 0
	s.next = now.Add(time.Second)
	return leftOut, true
}
