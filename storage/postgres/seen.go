package postgres

import (
	"sync"

	"github.com/safebox/safebox/worker/event"
)

// seen is what the handle last saw of each partition of a log, or of a group's cursors in it: a number that only grows. The next
// look for it need not go further back: else the server would read all that the page of the index has of the partition. A
// restored server may have set it back, and then such a look finds nothing.
type seen struct {
	mu sync.Mutex
	by map[[2]string]event.Positions // of topic and group
}

// of returns what was seen in these partitions; 0 where that is nothing.
func (s *seen) of(topic, group string, partitions []int) []int64 {
	s.mu.Lock()
	at := s.by[[2]string{topic, group}]
	s.mu.Unlock()
	return column(partitions, func(p int) int64 { return at[p] })
}

// note changes what was seen.
func (s *seen) note(topic, group string, change func(*event.Positions)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[[2]string]event.Positions{}
	}
	at := s.by[[2]string{topic, group}]
	change(&at)
	s.by[[2]string{topic, group}] = at
}

// noteEras takes the eras in which a group's cursors were seen, by partition.
func (s *seen) noteEras(topic, group string, eras map[int]int64) {
	s.note(topic, group, func(at *event.Positions) {
		for p, era := range eras {
			at[p] = era
		}
	})
}
