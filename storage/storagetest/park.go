package storagetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var parkTests = []conformanceTest{
	{"sets events aside and blocks their subjects", parkBlocks},
	{"gives back in order and takes out what is done", parkedComeBackInOrder},
	{"keeps what fails again and counts the attempts", parkAgainCounts},
	{"has nothing of a subject without parked events", parkedNotFound},
	{"keeps what operators did, with the commit", parkKeepsActions},
	{"lists what is parked page by page", parkListsPages},
	{"lists the subjects page by page", parkListsSubjects},
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
	list, err := db.Parked(Context(t), topic, group, subject, event.Place{}, 100)
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
	if diff := gocmp.Diff(want, parked(t, db, subject), cmpopts.EquateEmpty()); diff != "" {
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
	events, subjects, err := f.db.ParkedCount(Context(t), topic, group)
	if err != nil || events != 3 || subjects != 2 {
		t.Errorf("ParkedCount = %d, %d, %v; want 3 events of 2 subjects", events, subjects, err)
	}
	if events, subjects, err = f.db.ParkedCount(Context(t), topic, "another"); err != nil || events != 0 || subjects != 0 {
		t.Errorf("ParkedCount of another group = %d, %d, %v", events, subjects, err)
	}
	// Blocked names those of the batch alone, however many there are.
	for _, c := range []struct {
		more event.Event
		want map[string]bool
	}{
		{credit("5", bob, 1), map[string]bool{}},
		{credit("6", alice, 1), map[string]bool{alice: true}},
	} {
		mustAppend(t, f.db, c.more)
		b := mustClaim(t, f.db, p, 10)
		if diff := gocmp.Diff(c.want, b.Blocked()); diff != "" {
			t.Errorf("blocked subjects (-want +got):\n%s", diff)
		}
		b.Rollback()
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
	if cursorOf(b) != 3 {
		t.Errorf("the cursor is %d, want 3", cursorOf(b))
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
	if c := cursorOf(mustClaim(t, f.db, event.Partition(alice), 10)); c != 3 {
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
	if cursorOf(a.batch) == 2 {
		wantIDs(t, a.batch, "1", "2") // it saw what the lane left behind
	} else {
		t.Errorf("the retry has the cursor %d, want 2: it did not wait", cursorOf(a.batch))
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

func parkKeepsActions(t *testing.T, f fixture) {
	pair := neighbours(2)
	alice, bob := pair[0], pair[1]
	p := event.Partition(alice)
	mustAppend(t, f.db, credit("1", alice, 1), credit("2", bob, 1), credit("3", alice, 1))
	join(t, f.db)
	parkAll(t, f.db, p, "why")
	act := func(subject, name, actor, reason, failure string, upTo int64, n int) event.ParkedAction {
		b := claimParked(t, f.db, subject)
		a := event.ParkedAction{
			Action: name, Actor: actor, Reason: reason, First: b.Records()[0].Position, Last: b.Records()[n-1].Position, Events: n, Error: failure,
		}
		b.Note(a)
		mustCommit(t, b, upTo)
		a.Topic, a.Group, a.Subject = topic, group, subject
		return a
	}
	never := claimParked(t, f.db, alice)
	never.Note(event.ParkedAction{Action: event.ActionSkip, Actor: "nobody"})
	never.Rollback()
	failed := act(alice, event.ActionRetry, "alice@here", "", "it\nbroke", 0, 1)
	skipped := act(alice, event.ActionSkip, "bob", "it is wrong", "", 1, 1)
	retried := act(bob, event.ActionRetry, "alice@here", "mended", "", 2, 1)
	failed.Number, skipped.Number, retried.Number = 1, 2, 1

	for _, c := range []struct {
		group, subject string
		limit          int
		want           []event.ParkedAction
	}{
		{group, "", 10, []event.ParkedAction{retried, skipped, failed}},
		{group, alice, 10, []event.ParkedAction{skipped, failed}},
		{group, "", 1, []event.ParkedAction{retried}},
		{"another", "", 10, nil},
	} {
		got, err := f.another(t).ParkedActions(Context(t), topic, c.group, c.subject, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if age := time.Since(got[i].At); age < -time.Minute || age > time.Minute {
				t.Errorf("done at %v", got[i].At)
			}
			got[i].At = time.Time{}
		}
		if diff := gocmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("actions about %q (-want +got):\n%s", c.subject, diff)
		}
	}
}

func parkListsPages(t *testing.T, f fixture) {
	pair := neighbours(2) // of one partition: a page ends inside it
	for _, subject := range []string{pair[0], person(500), person(501), person(502)} {
		mustAppend(t, f.db, credit("1 of "+subject, subject, 1), credit("2 of "+subject, pair[1], 1), credit("3 of "+subject, subject, 1))
	}
	join(t, f.db)
	heads, err := f.db.Heads(Context(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	for p, head := range heads {
		if head > 0 {
			parkAll(t, f.db, p, "why")
		}
	}
	for _, subject := range []string{"", pair[1], person(1000)} {
		var got []event.Parked
		for after := (event.Place{}); ; {
			page, err := f.db.Parked(Context(t), topic, group, subject, after, 2)
			if err != nil || len(page) > 2 {
				t.Fatalf("%d of at most 2 parked events, %v", len(page), err)
			}
			if got = append(got, page...); len(page) < 2 {
				break
			}
			after = page[1].Place()
		}
		for i := range got {
			got[i].ParkedAt = time.Time{}
		}
		wantParked(t, f.db, subject, got...)
		if want := map[string]int{"": 12, pair[1]: 4}[subject]; len(got) != want || !slices.IsSortedFunc(got, func(a, b event.Parked) int {
			return cmp.Or(a.Partition-b.Partition, int(a.Position-b.Position))
		}) {
			t.Errorf("of %q %d are parked, want %d in the order of the log: %+v", subject, len(got), want, got)
		}
	}
}

func parkListsSubjects(t *testing.T, f fixture) {
	pair, others := neighbours(2), strangers(4)
	var want []event.ParkedSubject
	add := func(subject string, n int64) {
		for i := range n {
			mustAppend(t, f.db, credit(fmt.Sprint(subject, i), subject, 1))
		}
		want = append(want, event.ParkedSubject{Partition: event.Partition(subject), Subject: subject, Events: n})
	}
	add(pair[0], 2)
	add(pair[1], 1)
	for _, s := range others {
		if !slices.Contains(pair, s) {
			add(s, 1)
		}
	}
	slices.SortFunc(want, func(a, b event.ParkedSubject) int {
		return cmp.Or(a.Partition-b.Partition, strings.Compare(a.Subject, b.Subject))
	})
	join(t, f.db)
	for _, s := range want {
		if b := mustClaim(t, f.db, s.Partition, 100); len(b.Records()) > 0 {
			b.Rollback()
			parkAll(t, f.db, s.Partition, "why")
		} else {
			b.Rollback()
		}
	}
	var got []event.ParkedSubject
	for last := (event.ParkedSubject{}); ; {
		page, err := f.db.ParkedSubjects(Context(t), topic, group, last, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got, last = append(got, page...), page[len(page)-1]
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	p, err := f.db.ParkedAt(Context(t), topic, group, want[0].Partition, 1)
	if err != nil || p.Position != 1 || p.Error != "why" {
		t.Errorf("the parked event at position 1: %+v, %v", p, err)
	}
	if _, err := f.db.ParkedAt(Context(t), topic, group, want[0].Partition, 99); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("where none is parked: %v, want ErrNotFound", err)
	}
}
