package bus_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Invariants 2 and 4: the connections of two subscribers are cut in the middle of their batches, again and again.
func TestARestartOfTheServerLosesNothingAndRepeatsNothing(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{})
	url := server.Database(t)
	dbs := []storage.DB{storagetest.Ready(t, url), storagetest.Ready(t, url)}
	var subjects []string
	for i := range 2000 {
		subjects = append(subjects, fmt.Sprint(i%100))
	}
	events := messages(subjects...)
	b := newBus(t, dbs[0])
	appendAll(t, b, events)

	var handled atomic.Int64
	restarts := map[int64]chan struct{}{} // a record reaches it, and its handler waits until the server is back
	for _, n := range []int64{300, 900, 1500} {
		restarts[n] = make(chan struct{})
	}
	reached := make(chan int64)
	j := &journal{handle: func(ctx context.Context, _ event.Record) error {
		n := handled.Add(1)
		if back := restarts[n]; back != nil {
			reached <- n
			<-back
		}
		return nil
	}}
	for i, o := range []bus.SubscriberOptions{{Lanes: 2}, {Lanes: 4, Batch: 13}} {
		o.Handler, o.MaxAttempts = j, 1
		start(t.Context(), t, newBus(t, dbs[i]), o)
	}
	for range restarts {
		n := received(t, "the next restart", reached)
		server.Restart(t)
		close(restarts[n])
	}
	drained(t, dbs[0], group)
	check(t, dbs[0], events, applied)
}
