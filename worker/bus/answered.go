package bus

import (
	"sync"

	"github.com/safebox/safebox/worker/event"
)

// answered are the records that a consumer without a session acknowledged, until their commit is seen: where a batch was
// rolled back after that, they are done with and not delivered again. A consumer in another process gets them again.
type answered struct {
	mu         sync.Mutex
	partitions [event.Partitions]map[int64]identity // by position
}

// identity tells a record from one that got its position after the log was restored to an earlier state.
type identity struct{ source, id string }

func (a *answered) note(r event.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.partitions[r.Partition] == nil {
		a.partitions[r.Partition] = map[int64]identity{}
	}
	a.partitions[r.Partition][r.Position] = identity{r.Source, r.ID}
}

func (a *answered) has(r event.Record) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.partitions[r.Partition][r.Position]
	return ok && known == identity{r.Source, r.ID}
}

// committed forgets what the cursors have passed.
func (a *answered) committed(cursors map[int]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, cursor := range cursors {
		for position := range a.partitions[p] {
			if position <= cursor {
				delete(a.partitions[p], position)
			}
		}
	}
}
