package storagetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var auditTests = []conformanceTest{
	{"of an empty database is clean", auditOfNothing},
	{"of a sound ledger gives its figures", auditOfASoundLedger},
	{"finds each kind of damage and nothing else", auditFindsDamage},
	{"starts from the balances that a database was adopted with", auditStartsFromOpenings},
	{"takes a balance that was adopted below zero", auditTakesDebts},
}

func audit(t *testing.T, f fixture) ledger.Audit {
	t.Helper()
	a, err := f.db.Audit(Context(t), topic, group)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func auditOfNothing(t *testing.T, f fixture) {
	want := ledger.Audit{OK: true, Reasons: map[string]int64{}, Findings: []ledger.Finding{}}
	if diff := cmp.Diff(want, audit(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A soundLedger is a small ledger with an event of every fate.
type soundLedger struct{ alice, bob, stranger, parked, pending string }

func makeSoundLedger(t *testing.T, f fixture) soundLedger {
	t.Helper()
	p := strangers(5)
	l := soundLedger{p[0], p[1], p[2], p[3], p[4]}
	mustAppend(t, f.db,
		registration("1", l.alice, "alice"), registration("2", l.bob, "bob"), credit("3", l.alice, 100), transfer("4", l.alice, l.bob, 30, 2))
	drain(t, f.db)
	mustAppend(t, f.db, wallet("5", event.TypeFundsDebited, l.bob, `{"amount":10,"fee":1}`), wallet("6", event.TypeFundsDebited, l.bob, `{"amount":1000}`),
		credit("7", l.stranger, 1), credit("8", l.stranger, 1))
	drain(t, f.db)
	mustAppend(t, f.db, credit("9", l.parked, 1))
	parkAll(t, f.db, event.Partition(l.parked), "why")
	mustAppend(t, f.db, credit("10", l.pending, 1))
	return l
}

func auditOfASoundLedger(t *testing.T, f fixture) {
	makeSoundLedger(t, f)
	want := ledger.Audit{
		OK: true, Events: 10, Pending: 1, Applied: 5, Rejected: 3, Parked: 1,
		Reasons: map[string]int64{"insufficient_funds": 1, "unknown_wallet": 2}, Wallets: 2, Entries: 9,
		BalanceTotal: ledger.Sats(87), CreditTotal: ledger.Sats(130), DebitTotal: ledger.Sats(40), FeeTotal: ledger.Sats(3), Findings: []ledger.Finding{},
	}
	if diff := cmp.Diff(want, audit(t, f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	other, err := f.another(t).Audit(Context(t), "another", "another")
	if err != nil {
		t.Fatal(err)
	}
	if other.Events != 0 || other.Parked != 0 {
		t.Errorf("another topic has %d events, %d parked", other.Events, other.Parked)
	}
}

// auditFindsDamage does each damage, looks, and undoes it: what was found must go with it.
func auditFindsDamage(t *testing.T, f fixture) {
	l := makeSoundLedger(t, f)
	at := func(subject string) string {
		return fmt.Sprintf("topic = '%s' AND partition = %d", topic, event.Partition(subject))
	}
	cursor := func(subject string, by int) string {
		return fmt.Sprintf("UPDATE event_cursor SET position = position + %d WHERE consumer_group = '%s' AND %s", by, group, at(subject))
	}
	park := func(subject string, position int) string {
		return fmt.Sprintf(`INSERT INTO parked_event (topic, consumer_group, partition, position, subject, error, attempts, parked_at)
			SELECT topic, '%s', partition, position, subject, 'why', 1, recorded_at FROM event_log WHERE position = %d AND %s`, group, position, at(subject))
	}
	unpark := func(subject string) string { return "DELETE FROM parked_event WHERE " + at(subject) }
	entry := func(subject string, position int) string {
		return fmt.Sprintf("partition = %d AND position = %d AND leg = 0", event.Partition(subject), position)
	}
	alices, strangers := event.Partition(l.alice), event.Partition(l.stranger)
	every := map[string]bool{}
	for _, tc := range []struct {
		name     string
		do, undo []string
		want     []string // check and subject of each finding
	}{
		{
			name: "a cursor that was put back", do: []string{cursor(l.alice, -1)}, undo: []string{cursor(l.alice, 1)},
			want: []string{"event_total ", "processed_beyond_cursor " + l.alice},
		},
		{
			name: "an event parked beyond the cursor", do: []string{park(l.pending, 1)}, undo: []string{unpark(l.pending)},
			want: []string{"event_total ", "processed_beyond_cursor " + l.pending},
		},
		{
			name: "a cursor that was put forward", do: []string{cursor(l.pending, 1)}, undo: []string{cursor(l.pending, -1)},
			want: []string{"event_lost " + l.pending, "event_total "},
		},
		{
			name: "a parked event that was deleted", do: []string{unpark(l.parked)}, undo: []string{park(l.parked, 1)},
			want: []string{"event_lost " + l.parked, "event_total "},
		},
		{
			name: "an event that was processed and is parked", do: []string{park(l.alice, 2)}, undo: []string{unpark(l.alice)},
			want: []string{"event_total ", "parked_and_processed " + l.alice},
		},
		{
			name: "an entry moved to where no event is",
			do:   []string{"UPDATE ledger_entry SET position = 99 WHERE " + entry(l.stranger, 2)},
			undo: []string{"UPDATE ledger_entry SET position = 2 WHERE " + entry(l.stranger, 99)},
			want: []string{"entry_without_event " + l.stranger, "event_lost " + l.stranger},
		},
		{
			name: "a payee's leg without the payer's",
			do: []string{fmt.Sprintf(`INSERT INTO ledger_entry (partition, position, leg, subject, type, outcome, amount, fee, balance, at)
				SELECT partition, position, 1, subject, type, 'applied', 0, 0, 0, recorded_at FROM event_log WHERE %s`, at(l.pending))},
			undo: []string{fmt.Sprintf("DELETE FROM ledger_entry WHERE partition = %d", event.Partition(l.pending))},
			want: []string{"entry_without_event " + l.pending},
		},
		{
			name: "a numbered entry of somebody without a wallet",
			do:   []string{fmt.Sprintf("UPDATE ledger_entry SET seq = 1 WHERE partition = %d AND position = 1", strangers)},
			undo: []string{fmt.Sprintf("UPDATE ledger_entry SET seq = NULL WHERE partition = %d", strangers)},
			want: []string{"entry_without_wallet " + l.stranger},
		},
		{
			name: "an entry with a number too high",
			do:   []string{"UPDATE ledger_entry SET seq = 9 WHERE seq = 3 AND subject = '" + l.alice + "'"},
			undo: []string{"UPDATE ledger_entry SET seq = 3 WHERE seq = 9 AND subject = '" + l.alice + "'"},
			want: []string{"entry_number " + l.alice},
		},
		{
			name: "an entry with another balance",
			do:   []string{"UPDATE ledger_entry SET balance = balance + 1 WHERE seq = 3 AND subject = '" + l.alice + "'"},
			undo: []string{"UPDATE ledger_entry SET balance = balance - 1 WHERE seq = 3 AND subject = '" + l.alice + "'"},
			want: []string{"entry_balance " + l.alice},
		},
		{
			name: "an entry with another amount",
			do:   []string{fmt.Sprintf("UPDATE ledger_entry SET amount = amount + 1 WHERE position = 2 AND partition = %d", alices)},
			undo: []string{fmt.Sprintf("UPDATE ledger_entry SET amount = amount - 1 WHERE position = 2 AND partition = %d", alices)},
			want: []string{"balance_total ", "entry_amount " + l.alice, "entry_balance " + l.alice, "wallet_balance " + l.alice},
		},
		{
			name: "a sat out of nowhere",
			do:   []string{"UPDATE registeredsafebox SET balance = balance + 1 WHERE handle = 'bob'"},
			undo: []string{"UPDATE registeredsafebox SET balance = balance - 1 WHERE handle = 'bob'"},
			want: []string{"balance_total ", "wallet_balance " + l.bob},
		},
		{
			name: "a sat moved behind the journal's back",
			do:   []string{"UPDATE registeredsafebox SET balance = balance + CASE WHEN handle = 'bob' THEN 1 ELSE -1 END"},
			undo: []string{"UPDATE registeredsafebox SET balance = balance - CASE WHEN handle = 'bob' THEN 1 ELSE -1 END"},
			want: []string{"wallet_balance " + l.alice, "wallet_balance " + l.bob},
		},
		{
			name: "a wallet that counts an entry too many",
			do:   []string{"UPDATE registeredsafebox SET entry_count = entry_count + 1 WHERE handle = 'bob'"},
			undo: []string{"UPDATE registeredsafebox SET entry_count = entry_count - 1 WHERE handle = 'bob'"},
			want: []string{"wallet_entry_count " + l.bob},
		},
	} {
		damage(t, f.db, tc.do...)
		a := audit(t, f)
		var got []string
		for _, finding := range a.Findings {
			got = append(got, finding.Check+" "+finding.Subject)
			every[finding.Check] = true
			if finding.Detail == "" {
				t.Errorf("%s: the finding %s says nothing more", tc.name, finding.Check)
			}
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, slices.Compact(got)); diff != "" || a.OK {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		damage(t, f.db, tc.undo...)
		wantSound(t, f.db)
	}
	want := []string{
		"balance_total", "entry_amount", "entry_balance", "entry_number", "entry_without_event", "entry_without_wallet", "event_lost", "event_total",
		"parked_and_processed", "processed_beyond_cursor", "wallet_balance", "wallet_entry_count",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(every))); diff != "" {
		t.Errorf("kinds of findings that were provoked (-want +got):\n%s", diff)
	}
}

func auditStartsFromOpenings(t *testing.T, f fixture) {
	alice := person(1)
	damage(t, f.db, `INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, balance, opening_balance)
		VALUES ('alice', '`+alice+`', 'wss://a', 'c', 40, 40)`)
	mustAppend(t, f.db, credit("1", alice, 2))
	drain(t, f.db)
	a := audit(t, f)
	if !a.OK || !a.OpeningTotal.Equal(ledger.Sats(40)) || !a.BalanceTotal.Equal(ledger.Sats(42)) || !a.CreditTotal.Equal(ledger.Sats(2)) {
		t.Errorf("%+v", a)
	}
	wantSound(t, f.db)
	w, err := f.db.Wallet(Context(t), "alice")
	if err != nil || w.Balance != 42 || w.OpeningBalance != 40 || w.EntryCount != 1 {
		t.Errorf("%+v, %v", w, err)
	}
}

// auditTakesDebts has a wallet that was below zero when it was adopted: it may rise, and the books are sound all the while.
func auditTakesDebts(t *testing.T, f fixture) {
	alice := person(1)
	damage(t, f.db, `INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, balance, opening_balance)
		VALUES ('alice', '`+alice+`', 'wss://a', 'c', -40, -40)`)
	wantSound(t, f.db)
	for _, e := range []event.Event{
		credit("rises", alice, 30), wallet("refused", event.TypeFundsDebited, alice, `{"amount":1}`), credit("above", alice, 15),
	} {
		mustAppend(t, f.db, e)
		drainOne(t, f.db, e)
		wantSound(t, f.db)
	}
	if a := audit(t, f); !a.BalanceTotal.Equal(ledger.Sats(5)) || !a.OpeningTotal.Equal(ledger.Sats(-40)) || a.Rejected != 1 {
		t.Errorf("%+v", a)
	}
}
