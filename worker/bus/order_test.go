package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// witness holds the deliveries of any number of subscribers to invariant 1.
type witness struct {
	t    *testing.T
	mu   sync.Mutex
	last event.Positions // delivered
	busy [event.Partitions]bool
}

func (w *witness) begins(r event.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[r.Partition] {
		w.t.Errorf("%s was delivered before the one before it in partition %d was answered", r.ID, r.Partition)
	}
	w.busy[r.Partition] = true
	if r.Position > w.last[r.Partition]+1 {
		w.t.Errorf("partition %d: position %d came after %d", r.Partition, r.Position, w.last[r.Partition])
	}
	w.last[r.Partition] = max(w.last[r.Partition], r.Position)
}

func (w *witness) ends(r event.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[r.Partition] = false
}

// Invariants 1 and 2.
func TestTwoSubscribersOfAGroupShareTheLogInOrderAndApplyEachRecordOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		first, second := storagetest.Ready(t, url), storagetest.Ready(t, url)
		var subjects []string
		for i := range 1500 {
			subjects = append(subjects, fmt.Sprint(i%100))
		}
		events := messages(subjects...)
		w := &witness{t: t}
		both := newMeeting()
		for i, db := range []storage.DB{first, second} {
			j := &journal{handle: func(ctx context.Context, r event.Record) error {
				w.begins(r)
				defer w.ends(r)
				if db.Dialect() == storage.PostgreSQL { // where two batches may be open at once
					both.attend(ctx, i)
				}
				return nil
			}}
			start(t.Context(), t, newBus(t, db), bus.SubscriberOptions{Handler: j, Batch: 7})
		}
		b := newBus(t, first)
		for len(events) > 0 { // while they are at work
			appendAll(t, b, events[:100])
			events = events[100:]
		}
		drained(t, first, group)
		check(t, first, messages(subjects...), applied)
	})
}

// meeting lets nobody go on before both have come.
type meeting struct {
	came [2]chan struct{}
	once [2]sync.Once
}

func newMeeting() *meeting {
	return &meeting{came: [2]chan struct{}{make(chan struct{}), make(chan struct{})}}
}

func (m *meeting) attend(ctx context.Context, who int) {
	m.once[who].Do(func() { close(m.came[who]) })
	select {
	case <-m.came[1-who]:
	case <-ctx.Done():
	}
}

// Invariant 2: each group reads everything, whatever the others have read.
func TestEveryGroupGetsEveryRecord(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		appendAll(t, b, messages("a", "b", "a", "c"))
		for _, name := range []string{"one", "two"} {
			c := newCountdown(4)
			start(t.Context(), t, b, bus.SubscriberOptions{Group: name, Handler: c})
			received(t, "the last record for "+name, c.done)
			drained(t, db, name)
		}
	})
}
