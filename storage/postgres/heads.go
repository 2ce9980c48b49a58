package postgres

import (
	"sync"

	"github.com/safebox/safebox/worker/event"
)

// heads are where the log of each topic was last seen to end. It only grows, so the next look for its end need not go further
// back; where a restored server has set it back, an append finds no end, takes a position that there is, and looks again.
type heads struct {
	mu sync.Mutex
	by map[string]*event.Positions // of topic
}

// of returns the heads of these partitions; 0 where none was seen.
func (s *heads) of(topic string, partitions []int32) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.by[topic]
	if at == nil {
		return make([]int64, len(partitions))
	}
	return column(partitions, func(p int32) int64 { return at[p] })
}

// note takes the heads of these partitions.
func (s *heads) note(topic string, partitions []int32, seen []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.by[topic]
	if at == nil {
		if s.by == nil {
			s.by = map[string]*event.Positions{}
		}
		at = &event.Positions{}
		s.by[topic] = at
	}
	for i, p := range partitions {
		at[p] = seen[i]
	}
}

// forget lets the next append of the topic look from the beginning.
func (s *heads) forget(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, topic)
}
