package bus_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

const (
	topic = "tests"
	group = "group"
	// patience bounds what a test waits for.
	patience = 30 * time.Second
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newBus makes a bus that closes with the test.
func newBus(tb testing.TB, log event.Log) *bus.Bus {
	b := bus.New(log, bus.Options{Logger: quiet()})
	tb.Cleanup(func() { b.Close() })
	return b
}

// subscriber makes a subscriber that closes with the test.
func subscriber(tb testing.TB, b *bus.Bus, o bus.SubscriberOptions) *bus.Subscriber {
	tb.Helper()
	if o.Group == "" {
		o.Group = group
	}
	s, err := b.Subscriber(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// start runs a handler on a router, which closes with the test or by the returned function.
func start(ctx context.Context, tb testing.TB, b *bus.Bus, o bus.SubscriberOptions) (*bus.Subscriber, func()) {
	tb.Helper()
	router, err := bus.NewRouter(quiet(), patience)
	if err != nil {
		tb.Fatal(err)
	}
	s := subscriber(tb, b, o)
	router.Handle("handler", topic, s) //nolint:contextcheck // the context is the message's
	if err := router.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			if err := router.Close(); err != nil {
				tb.Error(err)
			}
		})
	}
	tb.Cleanup(stop)
	return s, stop
}

// messages makes events with ids subject/1, subject/2, … in the order of the subjects, which may repeat.
func messages(subjects ...string) []event.Event {
	numbers := map[string]int{}
	events := make([]event.Event, len(subjects))
	for i, subject := range subjects {
		numbers[subject]++
		events[i] = event.Event{
			ID: fmt.Sprintf("%s/%d", subject, numbers[subject]), Source: "test", Type: "test.message", Subject: subject,
			Time: time.Unix(1_700_000_000, 0).UTC(), Data: []byte(`{}`),
		}
	}
	return events
}

// neighbours are subjects of one partition; the first is always the same.
func neighbours(n int) []string {
	var found []string
	for i := 0; len(found) < n; i++ {
		if s := fmt.Sprintf("s%d", i); len(found) == 0 || event.Partition(s) == event.Partition(found[0]) {
			found = append(found, s)
		}
	}
	return found
}

func appendAll(tb testing.TB, b *bus.Bus, events []event.Event) {
	tb.Helper()
	receipts, err := b.Append(context.Background(), topic, events)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range receipts {
		if r.Result != event.Appended {
			tb.Fatalf("event %s: %s, want appended", events[i].ID, r.Result)
		}
	}
}

// eventually waits for a condition. A condition that cannot be told is not met.
func eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	if !dbtest.Until(patience, met) {
		tb.Fatalf("not within %s: %s", patience, what)
	}
}

// received waits for a signal.
func received[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		tb.Fatalf("not within %s: %s", patience, what)
		panic("unreachable")
	}
}

// drained waits until the group has nothing left to do.
func drained(tb testing.TB, log event.Log, group string) {
	tb.Helper()
	eventually(tb, "everything is processed", func() bool {
		heads, err := log.Heads(context.Background(), topic)
		if err != nil {
			return false
		}
		cursors, err := log.Cursors(context.Background(), topic, group)
		return err == nil && heads == cursors
	})
}

// journal is a handler that writes an entry for each record: twice the same is an error of the database.
type journal struct {
	handle func(context.Context, event.Record) error   // nil: all goes well. It may panic.
	begin  func(context.Context, []event.Record) error // likewise
	finish func(context.Context, []event.Record) error // likewise; of the records that went well
	poison string                                      // the id of an event that breaks a rule of the database

	mu      sync.Mutex
	batches [][]string // the ids that each session was given
}

func (j *journal) Begin(ctx context.Context, b event.Batch, records []event.Record) (bus.Session, error) {
	j.mu.Lock()
	j.batches = append(j.batches, ids(records))
	j.mu.Unlock()
	if j.begin != nil {
		if err := j.begin(ctx, records); err != nil {
			return nil, err
		}
	}
	return &journalSession{journal: j, tx: b.(ledger.Tx)}, nil
}

// given returns the sessions so far, by the ids of their records.
func (j *journal) given() [][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.batches)
}

type journalSession struct {
	*journal
	tx      ledger.Tx
	records []event.Record
	changes ledger.Changes
}

func (s *journalSession) Handle(ctx context.Context, r event.Record) (string, error) {
	if s.handle != nil {
		if err := s.handle(ctx, r); err != nil {
			return "", err
		}
	}
	return s.keep(r, ledger.Applied)
}

func (s *journalSession) Skip(_ context.Context, r event.Record) (string, error) {
	return s.keep(r, ledger.Rejected)
}

func (s *journalSession) keep(r event.Record, outcome ledger.OutcomeKind) (string, error) {
	s.records = append(s.records, r)
	s.changes.Entries = append(s.changes.Entries, ledger.Entry{
		Partition: r.Partition, Position: r.Position, Subject: r.Subject, Type: r.Type, Outcome: outcome, At: r.RecordedAt,
	})
	if r.ID == s.poison && outcome == ledger.Applied {
		s.changes.NWCEvents = append(s.changes.NWCEvents, "twice", "twice")
	}
	return string(outcome), nil
}

func (s *journalSession) Finish(ctx context.Context) error {
	if s.finish != nil {
		if err := s.finish(ctx, s.records); err != nil {
			return err
		}
	}
	return s.tx.Store(ctx, s.changes)
}

func ids(records []event.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.ID
	}
	return out
}

// check holds the database to what became of each event: applied, rejected, parked or nothing.
func check(tb testing.TB, db storage.DB, events []event.Event, want func(event.Event) string) {
	tb.Helper()
	ctx := storagetest.Context(tb)
	parked, err := db.Parked(ctx, topic, group, "", event.Place{}, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	got, wanted := map[string]string{}, map[string]string{}
	for _, p := range parked {
		got[p.ID] = "parked"
	}
	for _, e := range events {
		records, err := db.Events(ctx, topic, e.Source, e.ID)
		if err != nil || len(records) != 1 {
			tb.Fatalf("event %s: %d records, %v", e.ID, len(records), err)
		}
		entries, err := db.EntriesAt(ctx, records[0].Partition, records[0].Position)
		if err != nil {
			tb.Fatal(err)
		}
		for _, entry := range entries {
			got[e.ID] += string(entry.Outcome)
		}
		if w := want(e); w != "" {
			wanted[e.ID] = w
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		tb.Errorf("what became of the events (-want +got):\n%s", diff)
	}
}

func applied(event.Event) string { return "applied" }

// passing is an error that says of itself that it may pass.
type passing struct{}

func (passing) Error() string   { return "it may pass" }
func (passing) Transient() bool { return true }
