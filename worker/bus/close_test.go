package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Invariant 7.
func TestCloseFinishesTheBatchInHandAndClaimsNoOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(10)...)
		appendAll(t, b, events)
		reached, goOn := make(chan struct{}), make(chan struct{})
		j := &journal{handle: func(_ context.Context, r event.Record) error {
			if r.ID == events[2].ID {
				close(reached)
				<-goOn
			}
			return nil
		}}
		s, stop := start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Batch: 5})
		received(t, "the third record", reached)
		closed := make(chan struct{})
		go func() {
			stop()
			close(closed)
		}()
		eventually(t, "the subscriber is closing", s.Closing)
		if _, err := s.Subscribe(t.Context(), topic); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("Subscribe while closing: %v, want ErrClosed", err)
		}
		close(goOn)
		received(t, "the end of Close", closed)
		check(t, db, events[:5], applied)
		check(t, db, events[5:], func(event.Event) string { return "" })
	})
}

// Invariant 7: the end of the context rolls back, whether the handler heeds it or not.
func TestTheEndOfTheContextRollsTheBatchBack(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"a handler that gives up":  context.Context.Err,
		"a handler that ends well": func(context.Context) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				db := storagetest.Ready(t, url)
				b := newBus(t, db)
				events := messages(neighbours(5)...)
				appendAll(t, b, events)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				j := &journal{handle: func(ctx context.Context, r event.Record) error {
					if r.ID != events[2].ID {
						return nil
					}
					cancel()
					<-ctx.Done()
					return answer(ctx)
				}}
				_, stop := start(ctx, t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1})
				<-ctx.Done()
				stop()
				check(t, db, events, func(event.Event) string { return "" })

				start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{}})
				drained(t, db, group)
				check(t, db, events, applied)
			})
		})
	}
}

// Invariant 7: a handler that takes too long is told so by its context; what came before it is kept.
func TestCloseHurriesAHandlerThatTakesTooLong(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(5)...)
		appendAll(t, b, events)
		reached := make(chan struct{})
		j := &journal{handle: func(ctx context.Context, r event.Record) error {
			if r.ID == events[2].ID {
				close(reached)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		_, stop := start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1, CloseTimeout: 20 * time.Millisecond})
		received(t, "the third record", reached)
		stop()
		check(t, db, events[:2], applied)
		check(t, db, events[2:], func(event.Event) string { return "" })
	})
}

// Invariant 7: the consumer is no router, and one that stops answering.
func TestCloseGivesBackWhatAConsumerDoesNotAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(3)...)
		appendAll(t, b, events)
		s := subscriber(t, b, bus.SubscriberOptions{CloseTimeout: 20 * time.Millisecond})
		delivered, err := s.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		first := received(t, "the first message", delivered)
		first.Ack()
		second := received(t, "the second message", delivered)
		if err := first.Context().Err(); err == nil {
			t.Error("the context of an acknowledged message goes on")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := second.Context().Err(); err == nil {
			t.Error("the context of a message goes on after it was given back")
		}
		if _, open := <-delivered; open {
			t.Error("the channel is open after Close")
		}
		again, err := subscriber(t, b, bus.SubscriberOptions{}).Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events[1:] {
			m := received(t, e.ID, again)
			if m.UUID != e.ID {
				t.Fatalf("message %s, want %s", m.UUID, e.ID)
			}
			m.Ack()
		}
		drained(t, db, group)
	})
}

// Invariant 8: the partition can be claimed, and on SQLite written at all, although a subscriber wants to deliver it.
func TestAConsumerThatTakesNoMessagesHoldsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, other := storagetest.Ready(t, url), storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages("s", "s", "s")
		appendAll(t, b, events[:2])
		stalled, err := subscriber(t, b, bus.SubscriberOptions{}).Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, newBus(t, other), events[2:])
		j := &journal{}
		_, stop := start(t.Context(), t, newBus(t, other), bus.SubscriberOptions{Handler: j})
		drained(t, db, group)
		stop()
		check(t, db, events, applied)
		select {
		case m := <-stalled:
			t.Errorf("message %s came, which the other subscriber has processed", m.UUID)
		default:
		}
	})
}

func TestASubscriberNeedsAGroup(t *testing.T) {
	if _, err := newBus(t, nil).Subscriber(bus.SubscriberOptions{}); err == nil {
		t.Error("a subscriber without a group was made")
	}
}
