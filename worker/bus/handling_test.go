package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

func TestItIsKnownHowLongAHandlerHasBeenAtItsBatch(t *testing.T) {
	db := storagetest.Ready(t, dbtest.SQLite(t))
	reached, goOn := make(chan struct{}), make(chan struct{})
	j := &journal{handle: func(context.Context, event.Record) error {
		close(reached)
		<-goOn
		return nil
	}}
	b := newBus(t, db)
	s, _ := start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Lanes: 2})
	if d := s.Handling(); d != 0 {
		t.Errorf("%v without any work", d)
	}
	appendAll(t, b, messages("alice"))
	received(t, "the handler's work", reached)
	eventually(t, "the time at work", func() bool { return s.Handling() > 20*time.Millisecond })
	close(goOn)
	drained(t, db, group)
	eventually(t, "the end of the work", func() bool { return s.Handling() == 0 })
}

// A transaction that is idle for long is ended by the server, and its records would be delivered by another process, too.
func TestWhatASlowConsumerAcknowledgedIsCommittedBeforeTheBatchIsDone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		s := subscriber(t, b, bus.SubscriberOptions{Lanes: 1})
		out, err := s.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, b, messages("alice", "alice", "alice", "alice"))
		for i := range 4 {
			m := received(t, "a record", out)
			cursors, err := db.Cursors(t.Context(), topic, group)
			if err != nil {
				t.Fatal(err)
			}
			if at := cursors[event.Partition("alice")]; i == 3 && at < 2 {
				t.Errorf("after %d records, %d are committed", i, at)
			}
			<-time.After(600 * time.Millisecond)
			m.Ack()
		}
		drained(t, db, group)
	})
}

func TestWhatIsAcknowledgedWithoutItsHandlerIsNotDone(t *testing.T) {
	db := storagetest.Ready(t, dbtest.SQLite(t))
	b := newBus(t, db)
	s := subscriber(t, b, bus.SubscriberOptions{Handler: &journal{}, Lanes: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := s.Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	events := messages("alice", "alice", "alice")
	appendAll(t, b, events)
	m := received(t, "the batch", out)
	if got := m.Metadata.Get("safebox_events"); got != "3" {
		t.Errorf("a message with %s events, want the 3 of the batch", got)
	}
	m.Ack()
	var consumer sync.WaitGroup
	consumer.Go(func() { bus.Consume(out) })
	drained(t, db, group)
	cancel()
	consumer.Wait()
	check(t, db, events, applied)
}
