package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var claimTests = []conformanceTest{
	{"excludes every other claim on the partition", claimExcludes},
	{"takes at most the limit in order", claimTakesAtMostTheLimit},
	{"of nothing is an empty batch", claimOfNothing},
	{"takes several partitions in the order of their recording", claimTakesSeveral},
	{"takes those partitions that nobody has", claimTakesWhatIsFree},
	{"is given back by a rollback", rollbackGivesBack},
	{"moves the cursor by a commit", commitMovesTheCursor},
	{"moves the cursor as far as the commit says", commitMovesAsFarAsSaid},
	{"is over after its commit", commitEndsTheBatch},
	{"ends when its handle is closed", closeEndsTheClaim},
	{"ends when its connection is killed", killEndsTheClaim},
	{"leaves an append alone", claimLeavesAppendsAlone},
}

// denied asks for a claim that somebody else must have. A backend that waits instead of refusing has a moment for it.
func denied(t *testing.T, db storage.DB, partition int) {
	t.Helper()
	b, err := db.Claim(inTheWay(t, db), topic, group, []int{partition}, 10)
	if err == nil {
		b.Rollback()
		t.Fatalf("partition %d was claimed twice", partition)
	}
	if !refused(err) {
		t.Fatalf("a claim on a partition that is taken: %v", err)
	}
	if db.Dialect() == storage.PostgreSQL && !errors.Is(err, event.ErrClaimed) {
		t.Errorf("a claim on a partition that is taken: %v, want ErrClaimed", err)
	}
}

// inTheWay is the context of a claim that somebody else stands in the way of: a backend that waits instead of refusing gives up
// with it. PostgreSQL refuses, however long that takes.
func inTheWay(t *testing.T, db storage.DB) context.Context {
	t.Helper()
	if db.Dialect() == storage.PostgreSQL {
		return Context(t)
	}
	ctx, cancel := context.WithTimeout(Context(t), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// ids are the ids of records, in order.
func ids(records []event.Record) []string {
	list := []string{}
	for _, r := range records {
		list = append(list, r.ID)
	}
	return list
}

func wantIDs(t *testing.T, b event.Batch, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, ids(b.Records())); diff != "" {
		t.Fatalf("the events of the batch (-want +got):\n%s", diff)
	}
}

func claimExcludes(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	other := f.another(t)
	b := mustClaim(t, f.db, p, 10)
	denied(t, f.db, p)
	denied(t, other, p)
	b.Rollback()
	b = mustClaim(t, other, p, 10)
	denied(t, f.db, p)
	mustCommit(t, b, 1)
	wantIDs(t, mustClaim(t, f.db, p, 10))
}

func claimTakesAtMostTheLimit(t *testing.T, f fixture) {
	pair := neighbours(2)
	p := event.Partition(pair[0])
	mustAppend(t, f.db, credit("1", pair[0], 1), credit("2", pair[1], 1), credit("3", pair[0], 1))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 2)
	wantIDs(t, b, "1", "2")
	for i, r := range b.Records() {
		if r.Topic != topic || r.Partition != p || r.Position != int64(i+1) {
			t.Errorf("record %d is of %s, %d, %d", i, r.Topic, r.Partition, r.Position)
		}
	}
	mustCommit(t, b, 2)
	b = mustClaim(t, f.db, p, 2)
	wantIDs(t, b, "3")
	if cursorOf(b) != 2 {
		t.Errorf("the cursor is %d, want 2", cursorOf(b))
	}
}

// partitionsOf are the partitions of people.
func partitionsOf(people []string) []int {
	ps := make([]int, len(people))
	for i, p := range people {
		ps[i] = event.Partition(p)
	}
	return ps
}

func claimTakesSeveral(t *testing.T, f fixture) {
	people := strangers(3)
	a, b, c := people[0], people[1], people[2]
	mustAppend(t, f.db, credit("b1", b, 1))
	mustAppend(t, f.db, credit("a1", a, 1), credit("b2", b, 1))
	mustAppend(t, f.db, credit("b3", b, 1), credit("c1", c, 1))
	mustAppend(t, f.db, credit("a2", a, 1))
	join(t, f.db)
	parkAll(t, f.db, event.Partition(c), "why")
	mustAppend(t, f.db, credit("c2", c, 1))
	ps := partitionsOf(people)
	batch, err := f.db.Claim(Context(t), topic, group, ps, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(batch.Rollback)
	wantIDs(t, batch, "b1", "a1", "b2", "a2", "c2")
	if diff := cmp.Diff(map[int]int64{ps[0]: 0, ps[1]: 0, ps[2]: 1}, batch.Cursors()); diff != "" {
		t.Errorf("the cursors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]bool{c: true}, batch.Blocked()); diff != "" {
		t.Errorf("the blocked (-want +got):\n%s", diff)
	}
	batch.Park(batch.Records()[4], "behind", 0)
	if err := batch.Commit(Context(t), event.UpTo(batch.Records()...)); err != nil {
		t.Fatal(err)
	}
	cursors, err := f.db.Cursors(Context(t), topic, group)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if cursors[p] != 2 {
			t.Errorf("the cursor of partition %d is at %d after the commit, want 2", p, cursors[p])
		}
	}
	wantRows(t, f.db, fmt.Sprintf("SELECT position, error FROM parked_event WHERE partition = %d AND position = 2", ps[2]), "2 | behind")
}

func claimTakesWhatIsFree(t *testing.T, f fixture) {
	people := strangers(2)
	ps := partitionsOf(people)
	mustAppend(t, f.db, credit("1", people[0], 1), credit("2", people[1], 1))
	join(t, f.db)
	mustClaim(t, f.db, ps[0], 10)
	if f.db.Dialect() == storage.SQLite { // one write lock for all
		denied(t, f.another(t), ps[1])
		return
	}
	rest, err := f.another(t).Claim(Context(t), topic, group, ps, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rest.Rollback)
	wantIDs(t, rest, "2")
	if diff := cmp.Diff(map[int]int64{ps[1]: 0}, rest.Cursors()); diff != "" {
		t.Errorf("the cursors (-want +got):\n%s", diff)
	}
	if b, err := f.another(t).Claim(Context(t), topic, group, ps, 10); !errors.Is(err, event.ErrClaimed) {
		t.Errorf("a claim of what others have: %v, %v; want ErrClaimed", b, err)
	}
}

func claimOfNothing(t *testing.T, f fixture) {
	join(t, f.db)
	for range 2 {
		b := mustClaim(t, f.db, 5, 10)
		wantIDs(t, b)
		if cursorOf(b) != 0 || len(b.Blocked()) != 0 {
			t.Errorf("cursor %d, blocked %v", cursorOf(b), b.Blocked())
		}
		mustCommit(t, b, 0)
	}
	mustClaim(t, f.db, 5, 10).Rollback()
	wantRows(t, f.db, "SELECT max(position) FROM event_cursor", "0")
}

func rollbackGivesBack(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 5))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 10)
	if _, err := apply(Context(t), b); err != nil {
		t.Fatal(err)
	}
	b.Park(b.Records()[1], "why", 1)
	b.Rollback()
	b.Rollback() // again is nothing
	wantRows(t, f.db, "SELECT npub FROM registeredsafebox")
	wantRows(t, f.db, "SELECT subject FROM ledger_entry")
	wantRows(t, f.db, "SELECT subject FROM parked_event")
	wantIDs(t, mustClaim(t, f.another(t), p, 10), "1", "2")
}

func commitMovesTheCursor(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 5))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 10)
	if _, err := apply(Context(t), b); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, b, 2)
	cursors, err := f.another(t).Cursors(Context(t), topic, group)
	if err != nil {
		t.Fatal(err)
	}
	want := event.Positions{}
	want[p] = 2
	if diff := cmp.Diff(want, cursors); diff != "" {
		t.Errorf("cursors (-want +got):\n%s", diff)
	}
	wantRows(t, f.db, "SELECT npub, balance FROM registeredsafebox", alice+" | 5")
}

func commitMovesAsFarAsSaid(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", alice, 1), credit("3", alice, 1))
	join(t, f.db)
	mustCommit(t, mustClaim(t, f.db, p, 10), 1)
	b := mustClaim(t, f.db, p, 10)
	wantIDs(t, b, "2", "3")
	mustCommit(t, b, cursorOf(b)) // nothing was processed
	wantIDs(t, mustClaim(t, f.db, p, 10), "2", "3")
}

func commitEndsTheBatch(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 10)
	mustCommit(t, b, 1)
	b.Rollback() // does nothing any more
	next := mustClaim(t, f.db, p, 10)
	if cursorOf(next) != 1 {
		t.Errorf("the cursor is %d after a rollback that came too late, want 1", cursorOf(next))
	}
	b.Rollback() // and does not end the batch of another
	mustCommit(t, next, 1)
}

func closeEndsTheClaim(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, registration("1", alice, "alice"))
	join(t, f.db)
	other := f.another(t)
	b := mustClaim(t, other, p, 10)
	if _, err := apply(Context(t), b); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := commit(Context(t), b, 1); err == nil {
		t.Error("a batch was committed after its handle was closed")
	}
	wantIDs(t, mustClaim(t, f.db, p, 10), "1")
	wantRows(t, f.db, "SELECT npub FROM registeredsafebox")
}

func killEndsTheClaim(t *testing.T, f fixture) {
	if f.db.Dialect() != storage.PostgreSQL {
		return // a process and its connections are one there: the test before this one is all there is to it
	}
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 1))
	join(t, f.db)
	other := f.another(t)
	b := mustClaim(t, other, p, 10)
	if _, err := apply(Context(t), b); err != nil {
		t.Fatal(err)
	}
	wantRows(t, f.db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'idle in transaction'`, "true")
	await(t, "the killed connection's partition", func() bool {
		again, err := f.db.Claim(Context(t), topic, group, []int{p}, 10)
		if errors.Is(err, event.ErrClaimed) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		defer again.Rollback()
		wantIDs(t, again, "1", "2")
		return true
	})
	err := commit(Context(t), b, 2)
	if class := storage.ClassOf(err); class != storage.AdminShutdown && class != storage.Connection {
		t.Errorf("committing on a killed connection: %v", err)
	}
	if !refused(err) {
		t.Errorf("the failure is not called transient: %v", err)
	}
	wantIDs(t, mustClaim(t, other, p, 10), "1", "2") // on a new connection
}

// await asks again and again until the answer is yes.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for ctx := Context(t); !yes(); {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func claimLeavesAppendsAlone(t *testing.T, f fixture) {
	if f.db.Dialect() == storage.SQLite {
		return // the one write lock of a file is for both
	}
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 10)
	mustAppend(t, f.another(t), credit("2", alice, 1))
	mustCommit(t, b, 1)
	wantIDs(t, mustClaim(t, f.db, p, 10), "2")
}
