package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/event"
)

// refusals counts what a unique index refuses.
type refusals struct{ unique atomic.Int32 }

func (r *refusals) Acquire(time.Duration, bool) {}
func (r *refusals) Statement(_ context.Context, _ string, _ time.Duration, class storage.Class) {
	if class == storage.Unique {
		r.unique.Add(1)
	}
}

// A log that is told the same again and again refuses it once, and is looked at first from then on: what is refused leaves dead
// rows behind.
func TestWhoRepeatsHimselfIsLookedUpBeforeAnythingIsWritten(t *testing.T) {
	observed := &refusals{}
	db := open(t, dbtest.PostgreSQL(t), storage.Options{Observer: observed})
	prepare(t, db)
	at := func(n int) event.Event {
		return event.Event{Source: "/s", ID: fmt.Sprint(n), Type: "t", Subject: fmt.Sprint("s", n), Data: []byte("{}")}
	}
	for round := range 40 {
		receipts, err := db.Append(storagetest.Context(t), event.Topic, []event.Event{at(1), at(2 + round)})
		if err != nil {
			t.Fatal(err)
		}
		first := event.Duplicate
		if round == 0 {
			first = event.Appended
		}
		if receipts[0].Result != first || receipts[1].Result != event.Appended {
			t.Fatalf("round %d: %+v", round, receipts)
		}
	}
	if n := observed.unique.Load(); n != 1 {
		t.Errorf("%d appends were refused by the table, want the first that repeats something", n)
	}
}

// A look for a cursor goes back to where it was last seen, and behind that only when all cursors are looked at anew.
// A handle looks for the end of a partition no further back than it saw it, which a restored server may have set back.
func TestALogThatWasSetBackGoesOnWhereItEnds(t *testing.T) {
	ctx := storagetest.Context(t)
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	prepare(t, db)
	const topic = "tests"
	n := 0
	appended := func(want int64) {
		t.Helper()
		n++
		e := event.Event{ID: strconv.Itoa(n), Source: "test", Type: "test", Subject: "s", Time: time.Unix(0, 0).UTC(), Data: []byte(`{}`)}
		receipts, err := db.Append(ctx, topic, []event.Event{e})
		if err != nil || receipts[0].Result != event.Appended || receipts[0].Position != want {
			t.Errorf("event %d: %+v, %v; want position %d", n, receipts, err, want)
		}
	}
	for want := int64(1); want <= 5; want++ {
		appended(want)
	}
	for _, left := range []int64{2, 0} {
		if _, err := db.pool.Exec(ctx, "DELETE FROM event_log WHERE topic = $1 AND position > $2", topic, left); err != nil {
			t.Fatal(err)
		}
		appended(left + 1)
		appended(left + 2)
	}
}

func TestACursorThatWasSetBackIsFoundWhereItIs(t *testing.T) {
	const group, partition = "g", 7
	ctx := storagetest.Context(t)
	db := open(t, dbtest.PostgreSQL(t), storage.Options{})
	prepare(t, db)
	claimed := func() (cursors map[int]int64, err error) {
		b, err := db.Claim(ctx, event.Topic, group, []int{partition}, 10)
		if err != nil {
			return nil, err
		}
		defer b.Rollback()
		return b.Cursors(), nil
	}
	var at event.Positions
	at[partition] = 6400
	if _, err := db.JoinAt(ctx, event.Topic, group, at); err != nil {
		t.Fatal(err)
	}
	if cursors, err := claimed(); err != nil || cursors[partition] != 6400 {
		t.Fatalf("claimed: %v, %v", cursors, err)
	}
	if _, err := db.pool.Exec(ctx, "UPDATE event_cursor SET position = 10, era = 0 WHERE partition = $1", partition); err != nil {
		t.Fatal(err)
	}
	if cursors, err := db.Cursors(ctx, event.Topic, group); err != nil || cursors[partition] != 10 {
		t.Errorf("after it was set back to 10, the cursor is seen at %d, %v", cursors[partition], err)
	}
	if cursors, err := claimed(); err != nil || cursors[partition] != 10 {
		t.Errorf("after it was seen there, it is claimed: %v, %v", cursors, err)
	}
}
