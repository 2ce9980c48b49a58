package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var positionTests = []conformanceTest{
	{"begins a group where it is told, once, and reads the log from anywhere", beginsAndReads},
	{"heads are the last positions", headsAreLastPositions},
	{"a group joins once and begins at the beginning", joinsOnce},
	{"of those that join a group at once, at different positions, one makes all of it", joinsAtOnce},
	{"cursors move by themselves for each group", cursorsMovePerGroup},
	{"an append wakes another process", appendWakes},
	{"the channel of changes closes with its context", changesCloses},
}

func headsAreLastPositions(t *testing.T, f fixture) {
	heads, err := f.db.Heads(Context(t), topic)
	if err != nil || heads != (event.Positions{}) {
		t.Errorf("heads of an empty log: %v, %v", heads, err)
	}
	people := strangers(3)
	mustAppend(t, f.db, credit("1", people[0], 1), credit("2", people[1], 1), credit("3", people[0], 1))
	want := event.Positions{}
	want[event.Partition(people[0])], want[event.Partition(people[1])] = 2, 1
	if heads, err = f.another(t).Heads(Context(t), topic); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, heads); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if heads, err = f.db.Heads(Context(t), "another"); err != nil || heads != (event.Positions{}) {
		t.Errorf("heads of another topic: %v, %v", heads, err)
	}
}

func joinsOnce(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	join(t, f.another(t))
	cursors, err := f.db.Cursors(Context(t), topic, group)
	if err != nil || cursors != (event.Positions{}) {
		t.Errorf("cursors of a new group: %v, %v", cursors, err)
	}
	wantRows(t, f.db, "SELECT count(*), count(DISTINCT partition), min(partition), max(partition), max(position) FROM event_cursor", "64 | 64 | 0 | 63 | 0")

	mustCommit(t, mustClaim(t, f.db, event.Partition(alice), 10), 1)
	if cursors, err = f.db.Cursors(Context(t), topic, group, 0, event.Partition(alice)); err != nil || cursors[event.Partition(alice)] != 1 {
		t.Errorf("the cursors of two partitions: %v, %v", cursors, err)
	}
	join(t, f.db) // it keeps what is there
	if cursors, err = f.db.Cursors(Context(t), topic, group); err != nil || cursors[event.Partition(alice)] != 1 {
		t.Errorf("cursors after joining again: %v, %v", cursors, err)
	}
}

// Far apart, so that no two of the rows would have the same key of any kind.
func joinsAtOnce(t *testing.T, f fixture) {
	for round := range 5 {
		name := fmt.Sprintf("group %d", round)
		var made atomic.Int32
		var joining sync.WaitGroup
		for i := range 8 {
			var at event.Positions
			for p := range at {
				at[p] = int64(1000 * i)
			}
			joining.Go(func() {
				joined, err := f.db.JoinAt(Context(t), topic, name, at)
				if err != nil {
					t.Error(err)
				}
				if joined {
					made.Add(1)
				}
			})
		}
		joining.Wait()
		if made.Load() != 1 {
			t.Errorf("%d of eight made %s", made.Load(), name)
		}
		wantRows(t, f.db, "SELECT count(*), count(DISTINCT partition), count(DISTINCT position) FROM event_cursor WHERE consumer_group = '"+name+"'", "64 | 64 | 1")
	}
}

func cursorsMovePerGroup(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", alice, 1))
	join(t, f.db)
	if err := f.db.Join(Context(t), topic, "another"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, mustClaim(t, f.db, p, 1), 1)
	b, err := f.db.Claim(Context(t), topic, "another", []int{p}, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback()
	if cursorOf(b) != 0 || len(b.Records()) != 2 {
		t.Errorf("the other group is at %d with %d events before it; want 0 and 2", cursorOf(b), len(b.Records()))
	}
}

func appendWakes(t *testing.T, f fixture) {
	ctx, cancel := context.WithCancel(Context(t))
	defer cancel()
	changes := f.db.Changes(ctx, topic)
	other := f.another(t)
	// It may take a moment until somebody listens, and what was announced before that is missed: hence the repeats.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for n := 1; ; n++ {
		mustAppend(t, other, credit(time.Now().Format(time.RFC3339Nano), person(n), 1))
		heads, err := other.Heads(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Announce(ctx, topic, heads); err != nil {
			t.Fatal(err)
		}
		select {
		case told, open := <-changes:
			if !open {
				t.Fatal("the channel closed before its context ended")
			}
			if told == (event.Positions{}) && f.db.Dialect() == storage.PostgreSQL {
				continue // it listens now
			}
			known := heads
			if known.Advance(told); known != heads {
				t.Errorf("it was told of %v, and the log ends at %v", told, heads)
			}
			return
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%d appends woke nobody", n)
		}
	}
}

func changesCloses(t *testing.T, f fixture) {
	ctx, cancel := context.WithCancel(Context(t))
	changes := f.db.Changes(ctx, topic)
	cancel()
	for {
		select {
		case _, open := <-changes:
			if !open {
				return
			}
		case <-Context(t).Done():
			t.Fatal("the channel stayed open")
		}
	}
}

func beginsAndReads(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", alice, 2), credit("3", alice, 3))
	var at event.Positions
	at[p], at[(p+1)%event.Partitions] = 2, 7
	for i, want := range []bool{true, false} {
		joined, err := f.db.JoinAt(Context(t), topic, "readers", at)
		if err != nil || joined != want {
			t.Errorf("call %d: joined %v, %v; want %v", i, joined, err, want)
		}
		at[p] = 1 // the group exists by now
	}
	at[p] = 2
	if got, err := f.db.Cursors(Context(t), topic, "readers"); err != nil || got != at {
		t.Errorf("cursors %v, %v; want %v", got, err, at)
	}
	for _, c := range []struct {
		after int64
		limit int
		want  []string
	}{{0, 2, []string{"1", "2"}}, {2, 10, []string{"3"}}, {3, 10, nil}} {
		records, err := f.db.Read(Context(t), topic, p, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range records {
			ids = append(ids, r.ID)
			at, err := f.db.RecordedAt(Context(t), topic, p, r.Position)
			if err != nil || !at.Equal(r.RecordedAt) {
				t.Errorf("event %s was recorded at %v, %v; the log says %v", r.ID, at, err, r.RecordedAt)
			}
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("after %d at most %d: %v, want %v", c.after, c.limit, ids, c.want)
		}
	}
	if _, err := f.db.RecordedAt(Context(t), topic, p, 4); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("after the end: %v, want ErrNotFound", err)
	}
}
