package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Invariant 6: another process is told of an append long before it would have looked.
func TestAnAppendWakesTheSubscribersOfAnotherProcess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		here, there := newBus(t, storagetest.Ready(t, url)), newBus(t, storagetest.Ready(t, url))
		var handled atomic.Int64
		j := &journal{handle: func(context.Context, event.Record) error {
			handled.Add(1)
			return nil
		}}
		start(t.Context(), t, there, bus.SubscriberOptions{Handler: j, Poll: time.Hour})
		// The subscriber may look, and may not listen yet, when the first come: it surely listens once a wake-up came.
		n := 0
		for range 2 {
			had := handled.Load()
			next := time.Now()
			eventually(t, "a new event is processed", func() bool {
				if handled.Load() > had {
					return true
				}
				if now := time.Now(); now.After(next) {
					n++
					appendAll(t, here, messages(fmt.Sprint("wake ", n)))
					next = now.Add(100 * time.Millisecond)
				}
				return false
			})
		}
	})
}

// Invariant 6: the process that appends does not wait for anything to be announced.
func TestAnAppendWakesTheSubscribersOfItsOwnProcess(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, deaf{db})
		handled := make(chan struct{}, 1)
		j := &journal{handle: func(context.Context, event.Record) error {
			handled <- struct{}{}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Poll: time.Hour})
		for i := range 5 {
			appendAll(t, b, messages(fmt.Sprint("wake ", i)))
			received(t, "the event", handled)
		}
	})
}

// Invariant 6: without any wake-up.
func TestPollingAloneIsEnough(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		here, there := newBus(t, deaf{db}), newBus(t, deaf{db})
		start(t.Context(), t, there, bus.SubscriberOptions{Handler: &journal{}, Poll: 10 * time.Millisecond})
		events := messages("a", "b", "c")
		appendAll(t, here, events)
		drained(t, db, group)
		check(t, db, events, applied)
	})
}

// deaf is a log that nobody is told about.
type deaf struct{ event.Log }

func (deaf) Announce(context.Context, string, event.Positions) error {
	return errors.New("nobody listens")
}

func (deaf) Changes(ctx context.Context, _ string) <-chan event.Positions {
	c := make(chan event.Positions)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

func TestAnIdleSubscriberLooksAtTheLogAndNothingElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		counted := &counting{Log: deaf{db}, looks: make(chan struct{}, 1000)}
		b := newBus(t, counted)
		appendAll(t, b, messages("a", "b", "c"))
		const poll = 10 * time.Millisecond
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{}, Poll: poll})
		drained(t, db, group)
		eventually(t, "the lanes know that", func() bool {
			others := counted.others.Load()
			for range 3 {
				received(t, "a look at the log", counted.looks)
			}
			return counted.others.Load() == others
		})
		for len(counted.looks) > 0 { // those of the time before
			<-counted.looks
		}
		others, began := counted.others.Load(), time.Now()
		for range 10 {
			received(t, "a look at the log", counted.looks)
		}
		if n := counted.others.Load() - others; n != 0 {
			t.Errorf("%d more statements than looks at the log", n)
		}
		if took := time.Since(began); took < 9*poll {
			t.Errorf("10 looks at the log within %s, want one every %s", took, poll)
		}
	})
}

// Work comes in all the time, and another subscriber does it: who leaves it to that one looks now and then whether it is done.
// (On SQLite, whoever hears of a change does not hear of which, and looks.)
func TestWorkLeftToAnotherSubscriberIsLookedAtSeldom(t *testing.T) {
	db := storagetest.Ready(t, dbtest.PostgreSQL(t))
	counted := &counting{Log: db, looks: make(chan struct{}, 1000)}
	b := newBus(t, db)
	start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{}})
	appendAll(t, b, messages("a", "b", "c"))
	drained(t, db, group)
	start(t.Context(), t, newBus(t, counted), bus.SubscriberOptions{Handler: &journal{}})
	began, pace := time.Now(), time.NewTicker(5*time.Millisecond)
	defer pace.Stop()
	for i := range 200 {
		appendAll(t, b, messages(fmt.Sprint(i)))
		<-pace.C
	}
	drained(t, db, group)
	// Its first look and that of each resync and each poll come on top.
	n, took := counted.cursors.Load(), time.Since(began)
	if most := 5 + int64(took/(50*time.Millisecond)) + 2*int64(took/time.Second); n > most {
		t.Errorf("%d looks at the cursors within %s, want %d at most", n, took, most)
	}
}

// counting counts what a subscriber asks of the log.
type counting struct {
	event.Log
	looks           chan struct{}
	others, cursors atomic.Int64
}

func (c *counting) Heads(ctx context.Context, topic string) (event.Positions, error) {
	select {
	case c.looks <- struct{}{}:
	default:
	}
	return c.Log.Heads(ctx, topic)
}

func (c *counting) Cursors(ctx context.Context, topic, group string, partitions ...int) (event.Positions, error) {
	c.others.Add(1)
	c.cursors.Add(1)
	return c.Log.Cursors(ctx, topic, group, partitions...)
}

func (c *counting) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	c.others.Add(1)
	return c.Log.Claim(ctx, topic, group, partitions, limit)
}

// A log that cannot be read is asked again, ever less often.
func TestASubscriberGoesOnAfterTheLogCouldNotBeRead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, &faltering{Log: db})
		events := messages("a", "b", "c")
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{}, MaxAttempts: 1})
		appendAll(t, b, events)
		drained(t, db, group)
		check(t, db, events, applied)
	})
}

// faltering fails the first times it is asked.
type faltering struct {
	event.Log
	heads, cursors, claims atomic.Int32
}

func (f *faltering) Heads(ctx context.Context, topic string) (event.Positions, error) {
	if f.heads.Add(1) <= 3 {
		return event.Positions{}, errors.New("no heads")
	}
	return f.Log.Heads(ctx, topic)
}

func (f *faltering) Cursors(ctx context.Context, topic, group string, partitions ...int) (event.Positions, error) {
	if f.cursors.Add(1) <= 2 {
		return event.Positions{}, errors.New("no cursors")
	}
	return f.Log.Cursors(ctx, topic, group, partitions...)
}

func (f *faltering) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	if f.claims.Add(1) <= 3 {
		return nil, errors.New("no claim")
	}
	return f.Log.Claim(ctx, topic, group, partitions, limit)
}
