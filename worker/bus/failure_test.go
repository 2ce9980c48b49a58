package bus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// Invariants 3 and 5.
func TestARecordThatFailsIsTriedAloneAndThenParkedWithItsSubject(t *testing.T) {
	s := neighbours(3)
	bad, good, late := s[0], s[1], s[2]
	events := messages(bad, good, bad, good, bad, late, bad)
	id := func(subject string, n int) string { return fmt.Sprintf("%s/%d", subject, n) }
	all := []string{id(bad, 1), id(good, 1), id(bad, 2), id(good, 2), id(bad, 3), id(late, 1), id(bad, 4)}
	alone := []string{id(bad, 2)}
	rest := []string{id(good, 2), id(late, 1)} // after it is parked

	for name, c := range map[string]struct {
		fail  func(event.Record) error
		cause string
		tries [][]string // what sessions are given until it is parked
	}{
		"an error": {
			func(event.Record) error { return errors.New("no good") }, "no good",
			[][]string{all, alone, alone},
		},
		"a panic": {
			func(event.Record) error { panic("no better") }, "panic: no better",
			// Of the first session nothing is kept; then those before it, then it among those that fit, then alone.
			[][]string{all, all[:2], all[2:6], alone, alone},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				db := storagetest.Ready(t, url)
				b := newBus(t, db)
				appendAll(t, b, events)
				j := &journal{handle: func(_ context.Context, r event.Record) error {
					if r.ID == id(bad, 2) {
						return c.fail(r)
					}
					return nil
				}}
				start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 3})
				drained(t, db, group)

				check(t, db, events, func(e event.Event) string {
					if e.Subject == bad && e.ID != id(bad, 1) {
						return "parked"
					}
					return "applied"
				})
				parked, err := db.Parked(t.Context(), topic, group, bad, event.Place{}, 10)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, p := range parked {
					got = append(got, fmt.Sprintf("%s after %d: %s", p.ID, p.Attempts, p.Error))
				}
				want := []string{
					id(bad, 2) + " after 3: " + c.cause,
					id(bad, 3) + " after 0: " + bus.BehindParked,
					id(bad, 4) + " after 0: " + bus.BehindParked,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("parked (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(append(c.tries[:len(c.tries):len(c.tries)], rest), j.given()); diff != "" {
					t.Errorf("sessions (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Invariant 3.
func TestAnErrorThatMayPassNeverParks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(1)[0], neighbours(2)[1])
		appendAll(t, b, events)
		var failures atomic.Int32
		j := &journal{handle: func(context.Context, event.Record) error {
			if failures.Add(1) <= 6 {
				return fmt.Errorf("handling: %w", passing{})
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 2})
		drained(t, db, group)
		check(t, db, events, applied)
	})
}

// Invariant 3: without MaxAttempts a record is tried for ever, and nothing of its partition passes it by. Other partitions
// go on meanwhile, on the same lane.
func TestAPartitionThatFailsDoesNotHoldUpTheOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		stuck := messages(neighbours(2)...)
		var others []string
		for i := 0; len(others) < 200; i++ {
			if s := fmt.Sprint("other", i); event.Partition(s) != event.Partition(stuck[0].Subject) {
				others = append(others, s)
			}
		}
		events := messages(others...)
		appendAll(t, b, stuck)
		var failures atomic.Int32
		j := &journal{handle: func(_ context.Context, r event.Record) error {
			if r.ID == stuck[0].ID {
				failures.Add(1)
				return errors.New("for ever")
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, Lanes: 1})
		eventually(t, "the first has failed more than once", func() bool { return failures.Load() > 2 })
		appendAll(t, b, events)
		eventually(t, "the others are processed", func() bool {
			heads, err := db.Heads(t.Context(), topic)
			if err != nil {
				return false
			}
			cursors, err := db.Cursors(t.Context(), topic, group)
			heads[event.Partition(stuck[0].Subject)] = 0
			return err == nil && heads == cursors
		})
		check(t, db, append(stuck, events...), func(e event.Event) string {
			if strings.HasPrefix(e.Subject, "other") {
				return "applied"
			}
			return ""
		})
	})
}

// Invariant 4: the error comes from the database itself, on PostgreSQL with the commit.
func TestABatchThatTheDatabaseRefusesIsHalvedUntilTheCulpritStandsAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(40)...)
		culprit := events[27]
		appendAll(t, b, events)
		j := &journal{poison: culprit.ID}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 2})
		drained(t, db, group)
		check(t, db, events, func(e event.Event) string {
			if e.ID == culprit.ID {
				return "parked"
			}
			return "applied"
		})
		parked, err := db.Parked(t.Context(), topic, group, "", event.Place{}, 10)
		if err != nil || len(parked) != 1 || parked[0].Attempts != 2 || !strings.Contains(parked[0].Error, "(unique)") {
			t.Errorf("parked: %+v, %v; want the culprit after 2 attempts, with the database's reason", parked, err)
		}
		sizes := []int{40, 20, 20}
		for i, batch := range j.given()[:3] {
			if len(batch) != sizes[i] {
				t.Errorf("session %d was given %d records, want %d", i, len(batch), sizes[i])
			}
		}
	})
}

// Invariant 4.
func TestABatchThatFailsForAReasonThatMayPassIsTriedAgainAsItIs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(10)...)
		appendAll(t, b, events)
		var begun, finished atomic.Int32
		j := &journal{
			begin: func(context.Context, []event.Record) error {
				if begun.Add(1) <= 1 {
					return passing{}
				}
				return nil
			},
			finish: func(context.Context, []event.Record) error {
				if finished.Add(1) <= 1 {
					return passing{}
				}
				return nil
			},
		}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1})
		drained(t, db, group)
		check(t, db, events, applied)
		given := j.given()
		if len(given) != 3 {
			t.Errorf("%d sessions, want 3", len(given))
		}
		for i, batch := range given {
			if len(batch) != len(events) {
				t.Errorf("session %d was given %d records, want all %d", i, len(batch), len(events))
			}
		}
	})
}

// Invariant 4: what may pass by itself may also never pass for a batch of this size.
func TestABatchThatGoesOnFailingForAReasonThatMayPassIsMadeSmaller(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(10)...)
		appendAll(t, b, events)
		j := &journal{finish: func(_ context.Context, records []event.Record) error {
			if len(records) > 4 {
				return passing{}
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1})
		drained(t, db, group)
		check(t, db, events, applied)
	})
}

// Invariant 3: an error of the database that says nothing against the event is no attempt at it.
func TestAnErrorThatBlamesNoEventNeverParks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages(neighbours(3)...)
		appendAll(t, b, events)
		var failures atomic.Int32
		j := &journal{finish: func(context.Context, []event.Record) error {
			if failures.Add(1) <= 6 {
				return &storage.Error{Statement: "store", Class: storage.Other, Err: errors.New("out of memory")}
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1})
		drained(t, db, group)
		check(t, db, events, applied)
	})
}

// A server that was restored may have lost the last commits: the cursor, as a subscriber knows it, stands too far. One that was
// prepared anew, below running subscribers, does not know their group.
func TestACursorThatWentBackOrAwayIsFoundAgain(t *testing.T) {
	for name, lose := range map[string]string{
		"back": "UPDATE event_cursor SET position = 0", "away": "DELETE FROM event_cursor",
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				t.Parallel()
				db := storagetest.Ready(t, url)
				b := newBus(t, db)
				events := messages(neighbours(3)...)
				appendAll(t, b, events)
				j := &journal{}
				start(t.Context(), t, b, bus.SubscriberOptions{Handler: j})
				drained(t, db, group)
				below(t, db, "DELETE FROM ledger_entry", lose)
				eventually(t, "the records to be given again", func() bool {
					given := j.given()
					return len(given) > 1 && len(given[len(given)-1]) == len(events)
				})
				drained(t, db, group)
				check(t, db, events, applied)
			})
		})
	}
}

// below runs statements on the database, which no reader of its log is told of.
func below(t *testing.T, db storage.DB, statements ...string) {
	t.Helper()
	marker, err := db.Marker().Read(storagetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	o := initlock.Options{Digest: marker.Digest, Revision: marker.Revision, OldestCompatible: marker.OldestCompatible, Name: "below", Logger: quiet(), Force: true}
	_, err = db.Initialise(storagetest.Context(t), o, func(ctx context.Context, conn *sql.DB) error {
		for _, s := range statements {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What an error quotes may be no text at all to the database.
func TestAnEventIsParkedWhateverItsErrorSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		b := newBus(t, db)
		events := messages("s", "other")
		appendAll(t, b, events)
		j := &journal{handle: func(_ context.Context, r event.Record) error {
			if r.ID == "s/1" {
				return errors.New("the other side said \x00\xff")
			}
			return nil
		}}
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 1})
		drained(t, db, group)
		check(t, db, events, func(e event.Event) string { return map[string]string{"s/1": "parked", "other/1": "applied"}[e.ID] })
		parked, err := db.Parked(t.Context(), topic, group, "", event.Place{}, 1)
		if err != nil || len(parked) != 1 || !strings.Contains(parked[0].Error, "the other side said") || !utf8.ValidString(parked[0].Error) {
			t.Errorf("parked as %+v, %v", parked, err)
		}
	})
}

// Invariants 3 and 4: a handler that panics outside of a record is no end of the process either.
func TestAPanicBeforeOrAfterTheRecordsIsAnErrorOfTheBatch(t *testing.T) {
	for name, broken := range map[string]func(j *journal, panics func(context.Context, []event.Record) error){
		"in Begin":  func(j *journal, panics func(context.Context, []event.Record) error) { j.begin = panics },
		"in Finish": func(j *journal, panics func(context.Context, []event.Record) error) { j.finish = panics },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				db := storagetest.Ready(t, url)
				b := newBus(t, db)
				events := messages(neighbours(9)...)
				appendAll(t, b, events)
				j := &journal{}
				broken(j, func(_ context.Context, records []event.Record) error {
					for _, r := range records {
						if r.ID == events[4].ID {
							panic("broken")
						}
					}
					return nil
				})
				start(t.Context(), t, b, bus.SubscriberOptions{Handler: j, MaxAttempts: 2})
				drained(t, db, group)
				check(t, db, events, func(e event.Event) string {
					if e.ID == events[4].ID {
						return "parked"
					}
					return "applied"
				})
			})
		})
	}
}

// journalOfLog is a log that a test reads when all is over.
type journalOfLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *journalOfLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *journalOfLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// breakHere is a function whose name a stack shows.
func breakHere(context.Context, event.Record) error { panic("broken") }

// Invariant 3: a panic is parked like any error, and the log of a level that is always on has its stack.
func TestAPanicIsParkedAndItsStackIsInTheLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		var log journalOfLog
		b := bus.New(db, bus.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		t.Cleanup(func() { b.Close() })
		appendAll(t, b, messages("s"))
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{handle: breakHere}, MaxAttempts: 1})
		drained(t, db, group)
		parked, err := db.Parked(t.Context(), topic, group, "", event.Place{}, 10)
		if err != nil || len(parked) != 1 || parked[0].Error != "panic: broken" {
			t.Fatalf("parked: %+v, %v", parked, err)
		}
		if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "stack=") || !strings.Contains(text, "breakHere") {
			t.Errorf("the log has no stack:\n%s", text)
		}
	})
}
