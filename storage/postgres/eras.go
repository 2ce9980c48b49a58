package postgres

import (
	"sync"

	"github.com/safebox/safebox/worker/event"
)

// eras are those in which the cursors of each group were last seen. A cursor only moves on, so the next look for it need not go
// further back; one that a restored server has set back is not found, until Cursors has looked for it without that.
type eras struct {
	mu sync.Mutex
	by map[[2]string]*event.Positions // of topic and group
}

// of returns the eras of the cursors of these partitions; 0 where none was seen.
func (s *eras) of(topic, group string, partitions []int) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.by[[2]string{topic, group}]
	if at == nil {
		return make([]int64, len(partitions))
	}
	return column(partitions, func(p int) int64 { return at[p] })
}

// note takes the eras in which cursors were seen, by partition.
func (s *eras) note(topic, group string, seen map[int]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{topic, group}
	at := s.by[key]
	if at == nil {
		if s.by == nil {
			s.by = map[[2]string]*event.Positions{}
		}
		at = &event.Positions{}
		s.by[key] = at
	}
	for p, era := range seen {
		at[p] = era
	}
}
