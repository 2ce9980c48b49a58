package bus_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// uncommitted rolls batches back instead of committing them, as often as it is told.
type uncommitted struct {
	event.Log
	times *atomic.Int32
}

func (l uncommitted) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	b, err := l.Log.Claim(ctx, topic, group, partitions, limit)
	return uncommittedBatch{b, l.times}, err
}

type uncommittedBatch struct {
	event.Batch
	times *atomic.Int32
}

func (b uncommittedBatch) Commit(ctx context.Context, upTo map[int]int64) error {
	if b.times.Add(-1) >= 0 {
		b.Rollback()
		return passing{}
	}
	return b.Batch.Commit(ctx, upTo)
}

// Invariant 2, of a consumer without a session, be the records of one partition or of several.
func TestAConsumerIsNotGivenAgainWhatItAcknowledgedBeforeARollback(t *testing.T) {
	for name, subjects := range map[string][]string{"one partition": neighbours(10), "several": {"a", "b", "c", "d", "e", "f"}} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				db := storagetest.Ready(t, url)
				times := &atomic.Int32{}
				times.Store(2)
				b := newBus(t, uncommitted{db, times})
				appendAll(t, b, messages(subjects...))
				messages, err := subscriber(t, b, bus.SubscriberOptions{Group: group, Together: 8}).Subscribe(t.Context(), topic)
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]int{}
				want := map[string]int{}
				for range subjects {
					m := received(t, "the next message", messages)
					got[m.UUID]++
					m.Ack()
				}
				drained(t, db, group)
				select {
				case m := <-messages:
					got[m.UUID]++
					m.Ack()
				default:
				}
				for id := range got {
					want[id] = 1
				}
				if diff := cmp.Diff(want, got); diff != "" || len(got) != len(subjects) || times.Load() >= 0 {
					t.Errorf("%d of %d messages were delivered, how often (-want +got):\n%s", len(got), len(subjects), diff)
				}
			})
		})
	}
}
