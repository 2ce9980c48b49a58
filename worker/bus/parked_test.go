package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// operator is who sees to parked events in these tests.
var operator = event.Operator{Actor: "alice@example.org", Reason: "mended"}

// refusing is a handler that refuses some events.
func refusing(ids ...string) *journal {
	return &journal{handle: func(_ context.Context, r event.Record) error {
		if slices.Contains(ids, r.ID) {
			return errors.New("refused")
		}
		return nil
	}}
}

// withParked appends four events of the subject s and one of another, and lets the first and the third of s be refused:
// s/1 is parked, and the other three of it behind.
func withParked(t *testing.T, url string) (storage.DB, *bus.Bus, []event.Event) {
	t.Helper()
	db := storagetest.Ready(t, url)
	b := newBus(t, db)
	events := messages("s", "s", "s", "s", "other")
	appendAll(t, b, events)
	_, stop := start(t.Context(), t, b, bus.SubscriberOptions{Handler: refusing("s/1", "s/3"), MaxAttempts: 1})
	drained(t, db, group)
	stop()
	check(t, db, events, became("parked", "parked", "parked", "parked", "applied"))
	return db, b, events
}

// became names the outcomes of the events of withParked, in order.
func became(outcomes ...string) func(event.Event) string {
	return func(e event.Event) string {
		return outcomes[slices.Index([]string{"s/1", "s/2", "s/3", "s/4", "other/1"}, e.ID)]
	}
}

// parkedIn are the parked events of a database, and what is to process them.
func parkedIn(db storage.DB, h bus.Handler) bus.ParkedEvents {
	return bus.ParkedEvents{Log: db, Topic: topic, Group: group, Handler: h, Logger: quiet()}
}

func TestParkedEvents(t *testing.T) {
	for name, c := range map[string]struct {
		call     func(bus.ParkedEvents, context.Context, string, event.Operator) (event.ParkedResult, error)
		handler  *journal
		outcomes map[string]int
		waiting  int
		stopped  string
		became   []string
		actions  []string
	}{
		"a retry that goes well processes all of the subject": {
			bus.ParkedEvents.Retry, &journal{},
			map[string]int{"applied": 4},
			0, "",
			[]string{"applied", "applied", "applied", "applied"},
			[]string{"retry 1-4 of 4 "},
		},
		"a retry stops at the first that is refused again": {
			bus.ParkedEvents.Retry, refusing("s/3"),
			map[string]int{"applied": 2},
			2, "refused",
			[]string{"applied", "applied", "parked", "parked"},
			[]string{"retry 3-3 of 1 refused", "retry 2-2 of 1 ", "retry 1-1 of 1 "},
		},
		"a retry that is refused at once changes nothing": {
			bus.ParkedEvents.Retry, refusing("s/1"),
			map[string]int{},
			4, "refused",
			[]string{"parked", "parked", "parked", "parked"},
			[]string{"retry 1-1 of 1 refused"},
		},
		"a skip ends the first and retries the others": {
			bus.ParkedEvents.Skip, refusing("s/1"),
			map[string]int{"rejected": 1, "applied": 3},
			0, "",
			[]string{"rejected", "applied", "applied", "applied"},
			[]string{"retry 2-4 of 3 ", "skip 1-1 of 1 "},
		},
		"a skip ends one only": {
			bus.ParkedEvents.Skip, refusing("s/1", "s/2"),
			map[string]int{"rejected": 1},
			3, "refused",
			[]string{"rejected", "parked", "parked", "parked"},
			[]string{"retry 2-2 of 1 refused", "skip 1-1 of 1 "},
		},
		"a panic keeps it parked": {
			bus.ParkedEvents.Retry, &journal{handle: func(context.Context, event.Record) error { panic("broken") }},
			map[string]int{},
			4,
			"panic: broken",
			[]string{"parked", "parked", "parked", "parked"},
			[]string{"retry 1-1 of 1 panic: broken"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				db, _, events := withParked(t, url)
				got, err := c.call(parkedIn(db, c.handler), t.Context(), "s", operator)
				if err != nil {
					t.Fatal(err)
				}
				want := event.ParkedResult{Subject: "s", Outcomes: c.outcomes, Waiting: c.waiting, Error: c.stopped}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
				check(t, db, events, became(append(c.became, "applied")...))
				if diff := cmp.Diff(c.actions, actionsOn(t, db)); diff != "" {
					t.Errorf("what is kept of it, the last first (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAPanicDuringARetryIsLoggedWithItsStack(t *testing.T) {
	db, _, _ := withParked(t, dbtest.SQLite(t))
	var log bytes.Buffer
	p := parkedIn(db, &journal{handle: func(context.Context, event.Record) error { panic("broken") }})
	p.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	if _, err := p.Retry(t.Context(), "s", operator); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{`"event":"s/1"`, `"error":"panic: broken"`, "parked_test.go"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("%s is not in the log: %s", said, &log)
		}
	}
}

// actionsOn describes what operators did about the subject s, the last first.
func actionsOn(t *testing.T, db storage.DB) (all []string) {
	t.Helper()
	actions, err := db.ParkedActions(t.Context(), topic, group, "s", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions {
		if a.Actor != operator.Actor || a.Reason != operator.Reason {
			t.Errorf("done by %q for %q", a.Actor, a.Reason)
		}
		all = append(all, fmt.Sprintf("%s %d-%d of %d %s", a.Action, a.First, a.Last, a.Events, a.Error))
	}
	return all
}

func TestNothingIsRetriedOrSkippedByNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, _, events := withParked(t, url)
		if _, err := parkedIn(db, &journal{}).Retry(t.Context(), "s", event.Operator{Reason: "mended"}); err == nil {
			t.Error("a retry without a name went through")
		}
		if _, err := parkedIn(db, &journal{}).Skip(t.Context(), "s", event.Operator{Actor: "bob"}); err == nil {
			t.Error("a skip without a reason went through")
		}
		check(t, db, events, became("parked", "parked", "parked", "parked", "applied"))
	})
}

func TestARefusalByTheDatabaseKeepsAnEventParkedWithTheNewError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, _, events := withParked(t, url)
		got, err := parkedIn(db, &journal{poison: "s/2"}).Retry(t.Context(), "s", operator)
		if err != nil || got.Outcomes["applied"] != 1 || got.Waiting != 3 {
			t.Errorf("Retry = %+v, %v; want one applied and three waiting", got, err)
		}
		check(t, db, events, became("applied", "parked", "parked", "parked", "applied"))
		parked, err := db.Parked(t.Context(), topic, group, "s", event.Place{}, 10)
		if err != nil || len(parked) != 3 || parked[0].Error != got.Error || parked[0].Attempts != 1 {
			t.Errorf("parked: %+v, %v; want the first with the new error %q and an attempt", parked, err, got.Error)
		}
	})
}

func TestARetryThatMayPassChangesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, _, events := withParked(t, url)
		j := &journal{handle: func(context.Context, event.Record) error { return passing{} }}
		if _, err := parkedIn(db, j).Retry(t.Context(), "s", operator); !errors.Is(err, passing{}) {
			t.Errorf("error = %v, want that of the handler", err)
		}
		check(t, db, events, became("parked", "parked", "parked", "parked", "applied"))
		parked, err := db.Parked(t.Context(), topic, group, "s", event.Place{}, 1)
		if err != nil || parked[0].Attempts != 1 || parked[0].Error != "refused" {
			t.Errorf("parked: %+v, %v; want it as it was", parked, err)
		}
	})
}

func TestASubjectWithoutParkedEventsIsNotFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, _, _ := withParked(t, url)
		for _, subject := range []string{"other", "nobody"} {
			if _, err := parkedIn(db, &journal{}).Skip(t.Context(), subject, operator); !errors.Is(err, event.ErrNotFound) {
				t.Errorf("%s: error = %v, want ErrNotFound", subject, err)
			}
		}
	})
}

// Invariant 5: new events of the subject are parked for as long as one is, and processed as ever afterwards.
func TestASubjectGoesOnWhenNothingOfItIsParkedAnyMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db, b, _ := withParked(t, url)
		start(t.Context(), t, b, bus.SubscriberOptions{Handler: &journal{}, MaxAttempts: 1})
		more := messages("s", "s", "s", "s", "s", "s")[4:]
		appendAll(t, b, more[:1])
		drained(t, db, group)
		if n, _, err := db.ParkedCount(t.Context(), topic, group); err != nil || n != 5 {
			t.Fatalf("%d parked, %v; want 5", n, err)
		}
		if got, err := parkedIn(db, &journal{}).Retry(t.Context(), "s", operator); err != nil || got.Outcomes["applied"] != 5 {
			t.Fatalf("Retry = %+v, %v; want 5 applied", got, err)
		}
		appendAll(t, b, more[1:])
		drained(t, db, group)
		check(t, db, more, applied)
	})
}
