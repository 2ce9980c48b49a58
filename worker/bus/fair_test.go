package bus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Invariant 9: a subject with a backlog of many batches holds the others up for one of them a turn, and not for its backlog.
func TestAHotSubjectDoesNotStarveTheOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		const batch, ofHot = 20, 600
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(slices.Repeat([]string{"hot"}, ofHot)...)
		quiet := 0
		for i := 0; quiet < 10; i++ { // of any partitions but the hot one's
			if s := fmt.Sprint("quiet ", i); event.Partition(s) != event.Partition("hot") {
				events = append(events, messages(s)...)
				quiet++
			}
		}
		appendAll(t, b, events)
		j := &journal{}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Lanes: 1, Batch: batch})
		drained(t, db, group)
		check(t, db, events, applied)
		hotBefore, left := 0, quiet
		for _, ids := range j.given() {
			if strings.HasPrefix(ids[0], "hot") {
				hotBefore += len(ids)
				continue
			}
			if left -= len(ids); left == 0 {
				break
			}
		}
		if hotBefore > 2*batch {
			t.Errorf("%d events of the hot subject came before the last of the others, want at most two batches of %d", hotBefore, batch)
		}
	})
}

// Invariant 9: a batch is as large as what has come in since the last one, up to the most that it may be.
func TestTheSizeOfABatchFollowsTheBacklog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		entered, gate := make(chan struct{}), make(chan struct{})
		first := true
		j := &journal{begin: func(context.Context, []event.Record) error {
			if first { // in the hand of the only lane, while the backlog grows
				first = false
				entered <- struct{}{}
				<-gate
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Lanes: 1, Batch: 40})
		all := messages(slices.Repeat([]string{"one"}, 1+95)...)
		appendAll(t, b, all[:1])
		received(t, "the first batch", entered)
		grown := make(chan error, 1)
		go func() {
			_, err := b.Append(context.Background(), topic, all[1:])
			grown <- err
		}()
		if db.Dialect() == storage.SQLite { // where it waits for the batch in hand
			close(gate)
		}
		if err := received(t, "the append", grown); err != nil {
			t.Fatal(err)
		}
		if db.Dialect() != storage.SQLite {
			close(gate)
		}
		drained(t, db, group)
		var sizes []int
		for _, ids := range j.given() {
			sizes = append(sizes, len(ids))
		}
		if diff := cmp.Diff([]int{1, 40, 40, 15}, sizes); diff != "" {
			t.Errorf("sizes of the batches (-want +got):\n%s", diff)
		}
	})
}
