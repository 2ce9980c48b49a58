package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// gated is a log whose appends can be held up and can fail.
type gated struct {
	event.Log
	entered chan struct{} // receives a value for each append that begins, while there is room
	gate    chan struct{} // each append waits until it is closed
	fail    func([]event.Event) error

	mu    sync.Mutex
	sizes []int
}

func newGated(log event.Log) *gated {
	return &gated{Log: log, entered: make(chan struct{}, 1), gate: make(chan struct{})}
}

func (g *gated) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	g.mu.Lock()
	g.sizes = append(g.sizes, len(events))
	g.mu.Unlock()
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.gate
	if g.fail != nil {
		if err := g.fail(events); err != nil {
			return nil, err
		}
	}
	return g.Log.Append(ctx, topic, events)
}

// answer is what a call of Append returned.
type answer struct {
	receipts []event.Receipt
	err      error
}

// together appends each of the requests in a goroutine of its own, so that all but the first, which is an extra one, wait
// while that is written: they make one group. It returns the answers when all have one. The context is that of the first
// of the group; meanwhile runs when all wait.
func together(first context.Context, t *testing.T, b *bus.Bus, g *gated, requests [][]event.Event, meanwhile func()) []answer {
	t.Helper()
	others := context.WithoutCancel(first)
	open := sync.OnceFunc(func() { close(g.gate) })
	t.Cleanup(open) // or the bus could not close
	answers := make([]answer, len(requests))
	var callers sync.WaitGroup
	callers.Go(func() {
		if _, err := b.Append(others, topic, messages("ahead")); err != nil {
			t.Errorf("the append ahead of the group: %v", err)
		}
	})
	received(t, "the append ahead of the group", g.entered)
	for i, events := range requests {
		queued, of := b.Queued(), others
		if i == 0 {
			of = first
		}
		callers.Go(func() { answers[i].receipts, answers[i].err = b.Append(of, topic, events) })
		eventually(t, "the request is in the queue", func() bool { return b.Queued() > queued })
	}
	meanwhile()
	open()
	callers.Wait()
	return answers
}

func nothing() {}

func TestConcurrentAppendsAreWrittenTogetherAndAnsweredEachItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		g := newGated(db)
		b := newBus(t, g)
		known := messages("known")
		if _, err := db.Append(t.Context(), topic, known); err != nil {
			t.Fatal(err)
		}
		other := messages("known")
		other[0].Data = []byte(`{"other":true}`)
		answers := together(t.Context(), t, b, g, [][]event.Event{
			messages("a"), messages("b", "c", "b"), known, other, slices.Concat(messages("d"), known),
		}, nothing)
		want := [][]event.Result{
			{event.Appended},
			{event.Appended, event.Appended, event.Appended},
			{event.Duplicate},
			{event.Conflict},
			{event.Appended, event.Duplicate},
		}
		subjects := [][]string{{"a"}, {"b", "c", "b"}, {"known"}, {"known"}, {"d", "known"}}
		for i, a := range answers {
			var results []event.Result
			for k, r := range a.receipts {
				results = append(results, r.Result)
				if r.Partition != event.Partition(subjects[i][k]) || r.Position < 1 {
					t.Errorf("request %d, event %d: %+v, want a place in partition %d", i, k, r, event.Partition(subjects[i][k]))
				}
			}
			if diff := cmp.Diff(want[i], results); diff != "" || a.err != nil {
				t.Errorf("request %d: %v (-want +got):\n%s", i, a.err, diff)
			}
		}
		if diff := cmp.Diff([]int{1, 8}, g.sizes); diff != "" {
			t.Errorf("sizes of the appends (-want +got):\n%s", diff)
		}
	})
}

func TestARequestThatFailsDoesNotFailTheOthersOfItsGroup(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		g := newGated(storagetest.Ready(t, url))
		b := newBus(t, g)
		no := errors.New("no")
		g.fail = func(events []event.Event) error {
			if slices.ContainsFunc(events, func(e event.Event) bool { return e.Subject == "bad" }) {
				return no
			}
			return nil
		}
		for i, a := range together(t.Context(), t, b, g, [][]event.Event{messages("a"), messages("bad"), messages("b")}, nothing) {
			if bad := i == 1; bad != errors.Is(a.err, no) || bad != (a.err != nil) {
				t.Errorf("request %d: %v", i, a.err)
			}
		}
	})
}

// A database that is away would else be asked by each of the group, one after the other, each for as long as it is given.
func TestAGroupSharesTheErrorOfADatabaseThatIsAway(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		g := newGated(storagetest.Ready(t, url))
		b := newBus(t, g)
		var asked atomic.Int32
		g.fail = func([]event.Event) error {
			if asked.Add(1) > 1 { // after the one ahead
				return passing{}
			}
			return nil
		}
		var requests [][]event.Event
		for i := range 50 {
			requests = append(requests, messages(fmt.Sprint(i)))
		}
		for i, a := range together(t.Context(), t, b, g, requests, nothing) {
			if !errors.Is(a.err, passing{}) {
				t.Errorf("request %d: %v, want the database's error", i, a.err)
			}
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("the database was asked %d times, want 3: ahead, together, alone", n)
		}
	})
}

func TestACallerWhoLeavesTakesNobodyElsesAppendAlong(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		g := newGated(db)
		b := newBus(t, g)
		ctx, leave := context.WithCancel(t.Context())
		answers := together(ctx, t, b, g, [][]event.Event{messages("gone"), messages("here")}, leave)
		if !errors.Is(answers[0].err, context.Canceled) || answers[1].err != nil {
			t.Errorf("errors %v and %v, want the first's own end and nothing", answers[0].err, answers[1].err)
		}
		for id, want := range map[string]int{"gone/1": 0, "here/1": 1} {
			if records, err := db.Events(t.Context(), topic, "test", id); err != nil || len(records) != want {
				t.Errorf("%s: %d records, %v; want %d", id, len(records), err, want)
			}
		}
	})
}

func TestAfterCloseAppendsFailAndThoseUnderWayEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		g := newGated(storagetest.Ready(t, url))
		b := newBus(t, g)
		var callers sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			callers.Go(func() {
				_, errs[i] = b.Append(t.Context(), topic, messages(fmt.Sprint(i)))
			})
		}
		received(t, "the first append", g.entered)
		closed := make(chan struct{})
		go func() {
			b.Close()
			close(closed)
		}()
		close(g.gate)
		received(t, "the end of Close", closed)
		answered := make(chan struct{})
		go func() {
			callers.Wait()
			close(answered)
		}()
		received(t, "an answer for everybody", answered)
		for i, err := range errs {
			if err != nil && !errors.Is(err, bus.ErrClosed) {
				t.Errorf("append %d: %v, want none or ErrClosed", i, err)
			}
		}
		if _, err := b.Append(t.Context(), topic, messages("late")); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("append after close: %v, want ErrClosed", err)
		}
		if err := b.Publisher().Publish(topic, message.NewMessage("late", nil)); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("publish after close: %v, want ErrClosed", err)
		}
	})
}

func TestPublishingAgainIsSafeAndSomethingElseUnderTheSameIdIsAConflict(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		p := newBus(t, storagetest.Ready(t, url)).Publisher()
		for range 2 {
			if err := p.Publish(topic, message.NewMessage("id", []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		var conflict *bus.ConflictError
		if err := p.Publish(topic, message.NewMessage("id", []byte("y"))); !errors.As(err, &conflict) || conflict.ID != "id" {
			t.Errorf("error = %v, want a conflict of id", err)
		}
	})
}

func TestTheWalletTopicHasADoor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		p := newBus(t, storagetest.Ready(t, url)).Publisher()
		var refusal *event.Refusal
		if err := p.Publish(event.Topic, message.NewMessage("id", []byte(`{"amount":1}`))); !errors.As(err, &refusal) {
			t.Errorf("error = %v, want a refusal", err)
		}
	})
}
