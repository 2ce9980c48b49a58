package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var readTests = []conformanceTest{
	{"finds a wallet by npub or handle or custom handle", findsWallets},
	{"lists wallets page by page", listsWallets},
	{"lists entries with those without a number first", listsEntries},
	{"finds events by id", findsEvents},
	{"tells since when events are pending", tellsOldestPending},
	{"answers a ping and knows its dialect", answersPing},
}

func findsWallets(t *testing.T, f fixture) {
	people := strangers(3)
	alice, bob, carol := people[0], people[1], people[2]
	// alice and bob have each other's handle as their custom handle, and carol has their npubs as her handles: who is meant
	// is decided by which of the three names it is.
	register := func(npub, handle, custom string) event.Event {
		return wallet(handle, event.TypeWalletRegistered, npub, fmt.Sprintf(
			`{"npub":%q,"handle":%q,"custom_handle":%q,"home_relay":"wss://r","onboard_code":"c","access_key":"key of %s","emergency_code":"code of %s"}`,
			npub, handle, custom, npub, npub))
	}
	mustAppend(t, f.db, register(alice, "one", "two"), register(bob, "two", "one"), register(carol, alice, bob), credit("credit", alice, 5),
		wallet("update", event.TypeWalletUpdated, alice, `{"owner":"o","currency_code":"EUR"}`))
	drain(t, f.db)
	for key, want := range map[string]string{alice: alice, bob: bob, carol: carol, "one": alice, "two": bob} {
		got, err := f.db.Wallet(Context(t), key)
		if err != nil || got.Npub != want {
			t.Errorf("%s: %+v, %v; want the wallet of %s", key, got, err, want)
		}
	}
	for _, key := range []string{"nobody", "", "ONE", "key of " + alice, "%"} {
		if w, err := f.db.Wallet(Context(t), key); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%q: %+v, %v; want ErrNotFound", key, w, err)
		}
	}
	got, err := f.db.Wallet(Context(t), alice)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	want := ledger.Wallet{
		Npub: alice, Handle: "one", CustomHandle: text("two"), Owner: text("o"), HomeRelay: "wss://r", CurrencyCode: text("EUR"), Balance: 5, EntryCount: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func listsWallets(t *testing.T, f fixture) {
	if all, err := f.db.Wallets(Context(t), "", 10); err != nil || len(all) != 0 {
		t.Errorf("wallets of an empty database: %v, %v", all, err)
	}
	people := strangers(5)
	var events []event.Event
	for _, p := range people {
		events = append(events, registration(p, p, "@"+p))
	}
	mustAppend(t, f.db, events...)
	drain(t, f.db)
	slices.Sort(people)
	var seen []string
	for after := ""; ; {
		page, err := f.db.Wallets(Context(t), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, w := range page {
			seen = append(seen, w.Npub)
		}
		after = seen[len(seen)-1]
	}
	if diff := cmp.Diff(people, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func listsEntries(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, credit("0", alice, 1), credit("00", alice, 1), registration("1", alice, "alice"), credit("2", alice, 1), credit("3", alice, 1))
	drain(t, f.db)
	for _, tc := range []struct {
		after int64
		limit int
		want  []int64 // the positions
	}{
		{0, 100, []int64{1, 2, 3, 4, 5}},
		{0, 1, []int64{1}},
		{0, 2, []int64{1, 2}},
		{0, 3, []int64{1, 2, 3}},
		{1, 100, []int64{4, 5}},
		{1, 1, []int64{4}},
		{3, 100, nil},
		{-1, 2, []int64{3, 4}},
	} {
		entries, err := f.db.Entries(Context(t), alice, tc.after, tc.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range entries {
			got = append(got, e.Position)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("at most %d after %d (-want +got):\n%s", tc.limit, tc.after, diff)
		}
	}
	p := event.Partition(alice)
	entries, err := f.db.EntriesAt(Context(t), p, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := []ledger.Entry{{
		Partition: p, Position: 4, Subject: alice, Seq: 2, Type: event.TypeFundsCredited, Outcome: ledger.Applied, Amount: 1, Balance: 1, At: moment,
	}}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("the entries of one event (-want +got):\n%s", diff)
	}
	if entries, err = f.db.EntriesAt(Context(t), p, 99); err != nil || len(entries) != 0 {
		t.Errorf("the entries of no event: %v, %v", entries, err)
	}
	if entries, err = f.db.Entries(Context(t), "nobody", 0, 10); err != nil || len(entries) != 0 {
		t.Errorf("the entries of nobody: %v, %v", entries, err)
	}
}

func findsEvents(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	one, other := credit("1", alice, 1), credit("1", bob, 2)
	one.Metadata = map[string]string{"k": "v"}
	other.Source = "/a source before the first"
	mustAppend(t, f.db, one, other, credit("2", alice, 3))
	record := func(e event.Event) event.Record {
		return event.Record{Event: e, Topic: topic, Partition: event.Partition(e.Subject), Position: 1}
	}
	for name, tc := range map[string]struct {
		source, id string
		want       []event.Record
	}{
		"by id and source":    {source, "1", []event.Record{record(one)}},
		"by id alone":         {"", "1", []event.Record{record(other), record(one)}},
		"of another source":   {"/nowhere", "1", nil},
		"of an id not there":  {"", "nothing", nil},
		"of an id that has %": {"", "%", nil},
	} {
		got, err := f.db.Events(Context(t), topic, tc.source, tc.id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(event.Record{}, "RecordedAt")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if found, err := f.db.Events(Context(t), "another", source, "1"); err != nil || len(found) != 0 {
		t.Errorf("events of another topic: %v, %v", found, err)
	}
}

func tellsOldestPending(t *testing.T, f fixture) {
	oldest := func() time.Time {
		t.Helper()
		at, err := f.db.OldestPending(Context(t), topic, group)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	recorded := func(id string) time.Time {
		t.Helper()
		found, err := f.db.Events(Context(t), topic, source, id)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0].RecordedAt
	}
	alice, bob := strangers(2)[0], strangers(2)[1]
	join(t, f.db)
	if at := oldest(); !at.IsZero() {
		t.Errorf("the oldest pending event of an empty log is of %v", at)
	}
	mustAppend(t, f.db, credit("1", alice, 1))
	mustAppend(t, f.db, credit("2", bob, 1))
	if at := oldest(); !at.Equal(recorded("1")) {
		t.Errorf("the oldest is of %v, want %v", at, recorded("1"))
	}
	drainOne(t, f.db, credit("", alice, 1))
	if at := oldest(); !at.Equal(recorded("2")) {
		t.Errorf("the oldest is of %v, want %v", at, recorded("2"))
	}
	drain(t, f.db)
	if at := oldest(); !at.IsZero() {
		t.Errorf("the oldest pending event is of %v when nothing is pending", at)
	}
}

func answersPing(t *testing.T, f fixture) {
	if err := f.db.Ping(Context(t)); err != nil {
		t.Error(err)
	}
	parsed, err := storage.ParseURL(f.url)
	if err != nil {
		t.Fatal(err)
	}
	if d := f.db.Dialect(); d != parsed.Dialect {
		t.Errorf("dialect %q, want %q", d, parsed.Dialect)
	}
}
