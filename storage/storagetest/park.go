package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var parkTests = []conformanceTest{
	{"sets events aside and blocks their subjects", parkBlocks},
	{"gives back in order and takes out what is done", parkedComeBackInOrder},
	{"keeps what fails again and counts the attempts", parkAgainCounts},
	{"has nothing of a subject without parked events", parkedNotFound},
	{"lets a retry wait for the lane that has the partition", retryWaitsForTheLane},
	{"keeps lanes out of a partition while a retry has it", retryExcludesLanes},
}

// parkAll parks all that a partition has.
func parkAll(t *testing.T, db storage.DB, partition int, cause string) {
	t.Helper()
	b := mustClaim(t, db, partition, 100)
	for _, r := range b.Records() {
		b.Park(r, cause, 1)
	}
	mustCommit(t, b, b.Records()[len(b.Records())-1].Position)
}

func claimParked(t *testing.T, db storage.DB, subject string) event.Batch {
	t.Helper()
	b, err := db.ClaimParked(Context(t), topic, group, subject)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Rollback)
	return b
}

// parked lists the parked events without the time of parking, which it checks.
func parked(t *testing.T, db storage.DB, subject string) []event.Parked {
	t.Helper()
	list, err := db.Parked(Context(t), topic, group, subject, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if age := time.Since(list[i].ParkedAt); age < -time.Minute || age > time.Minute {
			t.Errorf("parked at %v", list[i].ParkedAt)
		}
		list[i].ParkedAt = time.Time{}
	}
	return list
}

func wantParked(t *testing.T, db storage.DB, subject string, want ...event.Parked) {
	t.Helper()
	if diff := cmp.Diff(want, parked(t, db, subject), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("parked events (-want +got):\n%s", diff)
	}
}

func parkedCredit(id, subject string, position int64, cause string, attempts int) event.Parked {
	return event.Parked{
		Topic: topic, Group: group, Partition: event.Partition(subject), Position: position, Source: source, ID: id,
		Type: event.TypeFundsCredited, Subject: subject, Error: cause, Attempts: attempts,
	}
}

func parkBlocks(t *testing.T, f fixture) {
	pair := neighbours(2)
	alice, bob, carol := pair[0], pair[1], strangers(5)[4]
	if event.Partition(carol) == event.Partition(alice) {
		carol = strangers(5)[3]
	}
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", bob, 1), credit("3", alice, 1), credit("4", carol, 1))
	join(t, f.db)
	b := mustClaim(t, f.db, p, 10)
	b.Park(b.Records()[0], "it broke\nin two lines", 3)
	b.Park(b.Records()[2], "waits", 0)
	mustCommit(t, b, 3)
	parkAll(t, f.db, event.Partition(carol), "other")

	wantParked(t, f.db, alice, parkedCredit("1", alice, 1, "it broke\nin two lines", 3), parkedCredit("3", alice, 3, "waits", 0))
	wantParked(t, f.db, bob)
	if all := parked(t, f.another(t), ""); len(all) != 3 {
		t.Errorf("%d events are parked in all, want 3", len(all))
	}
	if few, err := f.db.Parked(Context(t), topic, group, "", 2); err != nil || len(few) != 2 {
		t.Errorf("%d of at most 2 parked events, %v", len(few), err)
	}
	events, subjects, err := f.db.ParkedCount(Context(t), topic, group)
	if err != nil || events != 3 || subjects != 2 {
		t.Errorf("ParkedCount = %d, %d, %v; want 3 events of 2 subjects", events, subjects, err)
	}
	if events, subjects, err = f.db.ParkedCount(Context(t), topic, "another"); err != nil || events != 0 || subjects != 0 {
		t.Errorf("ParkedCount of another group = %d, %d, %v", events, subjects, err)
	}
	if diff := cmp.Diff(map[string]bool{alice: true}, mustClaim(t, f.db, p, 10).Blocked()); diff != "" {
		t.Errorf("blocked subjects (-want +got):\n%s", diff)
	}
}

func parkedComeBackInOrder(t *testing.T, f fixture) {
	pair := neighbours(2)
	alice, bob := pair[0], pair[1]
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", bob, 1), credit("3", alice, 5))
	join(t, f.db)
	parkAll(t, f.db, event.Partition(alice), "why")

	b := claimParked(t, f.another(t), alice)
	wantIDs(t, b, "1", "3")
	if b.Cursor() != 3 {
		t.Errorf("the cursor is %d, want 3", b.Cursor())
	}
	b.Rollback()

	b = claimParked(t, f.db, alice)
	wantIDs(t, b, "1", "3")
	mustCommit(t, b, 1) // only the first of them is done
	b = claimParked(t, f.db, alice)
	wantIDs(t, b, "3")
	mustCommit(t, b, 3)
	if _, err := f.db.ClaimParked(Context(t), topic, group, alice); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("nothing is parked any more: %v, want ErrNotFound", err)
	}
	wantParked(t, f.db, "", parkedCredit("2", bob, 2, "why", 1))

	// What a retry does is part of its commit, and it does not move the cursor.
	b = claimParked(t, f.db, bob)
	if outcomes, err := apply(Context(t), b); err != nil || outcomes[0] != "unknown_wallet" {
		t.Fatalf("outcomes %v, %v", outcomes, err)
	}
	mustCommit(t, b, 2)
	wantRows(t, f.db, "SELECT position, reason FROM ledger_entry", "2 | unknown_wallet")
	if c := mustClaim(t, f.db, event.Partition(alice), 10).Cursor(); c != 3 {
		t.Errorf("the cursor is %d, want 3", c)
	}
}

func parkAgainCounts(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", alice, 1))
	join(t, f.db)
	parkAll(t, f.db, event.Partition(alice), "first")
	for range 2 {
		b := claimParked(t, f.db, alice)
		b.Park(b.Records()[0], "again", 1)
		mustCommit(t, b, b.Records()[0].Position-1)
	}
	wantParked(t, f.db, alice, parkedCredit("1", alice, 1, "again", 3), parkedCredit("2", alice, 2, "first", 1))
}

func parkedNotFound(t *testing.T, f fixture) {
	alice := person(1)
	check := func(when string) {
		t.Helper()
		if b, err := f.db.ClaimParked(Context(t), topic, group, alice); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%s: ClaimParked = %v, %v; want ErrNotFound", when, b, err)
		}
	}
	check("before the group has joined")
	join(t, f.db)
	check("of an empty log")
	mustAppend(t, f.db, credit("1", alice, 1))
	check("of an event that is only pending")
	mustClaim(t, f.db, event.Partition(alice), 10).Rollback() // what was not found holds nothing
}

func retryWaitsForTheLane(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	parkAll(t, f.db, p, "why")
	mustAppend(t, f.db, credit("2", alice, 1))
	lane := mustClaim(t, f.db, p, 10)
	other := f.another(t)
	type answer struct {
		batch event.Batch
		err   error
	}
	answered := make(chan answer, 1)
	ctx := Context(t)
	go func() {
		b, err := other.ClaimParked(ctx, topic, group, alice)
		answered <- answer{b, err}
	}()
	lane.Park(lane.Records()[0], "behind", 0)
	mustCommit(t, lane, 2)
	a := <-answered
	if a.err != nil {
		t.Fatal(a.err)
	}
	defer a.batch.Rollback()
	if a.batch.Cursor() == 2 {
		wantIDs(t, a.batch, "1", "2") // it saw what the lane left behind
	} else {
		t.Errorf("the retry has the cursor %d, want 2: it did not wait", a.batch.Cursor())
	}
}

func retryExcludesLanes(t *testing.T, f fixture) {
	alice := person(1)
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1))
	join(t, f.db)
	parkAll(t, f.db, p, "why")
	b := claimParked(t, f.db, alice)
	denied(t, f.another(t), p)
	mustCommit(t, b, 1)
	mustClaim(t, f.db, p, 10).Rollback()
}
