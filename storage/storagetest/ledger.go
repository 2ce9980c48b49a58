package storagetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var ledgerTests = []conformanceTest{
	{"stores what every event does", storesEveryEvent},
	{"finds every reason for rejection in what it stored", findsEveryReason},
	{"lets values change hands inside a batch", valuesChangeHands},
	{"pays quotes from before the events as often as they are there", paysOlderQuotes},
	{"holds the largest amounts", holdsLargestAmounts},
	{"holds a transfer back until its payee is registered", holdsTransfersBack},
	{"holds a transfer back although the clock was set back", holdsTransfersBackInThePast},
	{"journals what each event did", journals},
}

// everything is one applied event of each type, and more where a row changes twice. alice has all that is optional.
func everything(alice, bob string) []event.Event {
	return []event.Event{
		wallet("register alice", event.TypeWalletRegistered, alice, fmt.Sprintf(`{"npub":%q,"handle":"alice","home_relay":"wss://a","onboard_code":"code",
			"access_key":"alice key","custom_handle":"ally","owner":"owner","emergency_code":"alice sos","currency_code":"EUR"}`, alice)),
		registration("register bob", bob, "bob"),
		wallet("update bob", event.TypeWalletUpdated, bob, `{"custom_handle":"bobby","owner":"o'neil","home_relay":"wss://b","currency_code":"USD"}`),
		wallet("update alice", event.TypeWalletUpdated, alice, `{"owner":null,"currency_code":null}`),
		wallet("rotate bob's key", event.TypeWalletAccessKeyRotated, bob, `{"access_key":"bob key"}`),
		wallet("revoke alice's key", event.TypeWalletAccessKeyRotated, alice, `{"access_key":null}`),
		wallet("rotate bob's secret", event.TypeWalletNWCRotated, bob, `{"nwc_secret":"bob secret 1"}`),
		wallet("rotate bob's secret again", event.TypeWalletNWCRotated, bob, `{"nwc_secret":"bob secret 2"}`),
		credit("credit alice", alice, 100),
		wallet("debit alice", event.TypeFundsDebited, alice, `{"amount":10,"fee":1}`),
		transfer("transfer", alice, bob, 20, 2),
		wallet("quote of bob", event.TypeQuoteCreated, bob, `{"quote":"paid quote","amount":5,"mint":"https://mint"}`),
		wallet("quote of alice", event.TypeQuoteCreated, alice, `{"quote":"open quote","amount":7,"mint":"https://mint"}`),
		wallet("pay bob's quote", event.TypeQuotePaid, bob, `{"quote":"paid quote"}`),
		wallet("nwc", event.TypeNWCReceived, alice, `{"event_id":"e1"}`),
		wallet("nonce", event.TypeNonceUsed, "requester", `{"requester_pubkey":"requester","flow":"pay","nonce":"n1","requester_ts":5000000000}`),
		wallet("offer", event.TypeOfferOpened, "n2", `{"nonce":"n2","nauth":"nauth","grant_kind":1,"offer_kind":2147483647,"host":"h","label":"l"}`),
		wallet("offer without a label", event.TypeOfferOpened, "n3", `{"nonce":"n3","nauth":"nauth","grant_kind":1,"offer_kind":2,"host":"h"}`),
		wallet("rate", event.TypeCurrencyQuoted, "EUR", `{"rate":0.5,"refreshed_at":"2026-11-23T14:00:00.000006+02:00"}`),
		wallet("newer rate", event.TypeCurrencyQuoted, "EUR", `{"rate":1.25,"refreshed_at":"2026-11-23T12:00:01.000006Z"}`),
	}
}

// eachWay runs a test with all events of a partition in one batch and with a batch for each event: what a batch stores
// and the next one loads must come to the same as what it keeps in mind.
func eachWay(t *testing.T, f fixture, events []event.Event, one bool) {
	t.Helper()
	if !one {
		mustAppend(t, f.db, events...)
		drain(t, f.db)
		return
	}
	for _, e := range events {
		mustAppend(t, f.db, e)
		drainOne(t, f.db, e)
	}
}

// drainOne processes what is pending in the partition of an event.
func drainOne(t *testing.T, db storage.DB, e event.Event) {
	t.Helper()
	join(t, db)
	if _, err := processAll(Context(t), db, event.Partition(e.Subject)); err != nil {
		t.Fatalf("%s: %v", e.ID, err)
	}
}

// outcome is what the journal says about an event: applied, or the reason.
func outcome(t *testing.T, db storage.DB, id string) string {
	t.Helper()
	found, err := db.Events(Context(t), topic, source, id)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d events %q, %v", len(found), id, err)
	}
	entries, err := db.EntriesAt(Context(t), found[0].Partition, found[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		return "no entry"
	}
	if r := entries[0].Reason; r != "" {
		return r
	}
	return string(entries[0].Outcome)
}

func storesEveryEvent(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	damage(t, f.db, "INSERT INTO nwcsecret (nwc_secret, npub) VALUES ('older 1', '"+bob+"'), ('older 2', '"+bob+"'), ('else', 'else')")
	all := everything(alice, bob)
	mustAppend(t, f.db, all...)
	drain(t, f.db)
	for _, e := range all {
		if got := outcome(t, f.db, e.ID); got != "applied" {
			t.Errorf("%s: %s", e.ID, got)
		}
	}

	const columns = "handle, custom_handle, owner, home_relay, onboard_code, access_key, emergency_code, currency_code, balance, opening_balance, entry_count"
	wantRows(t, f.db, "SELECT "+columns+" FROM registeredsafebox ORDER BY handle",
		"alice | ally |  | wss://a | code |  | alice sos |  | 67 | 0 | 8",
		"bob | bobby | o'neil | wss://b | code | bob key |  | USD | 25 | 0 | 8")
	wantRows(t, f.db, "SELECT count(*) FROM registeredsafebox WHERE nsec IS NOT NULL OR session_nonce IS NOT NULL", "0")
	wantRows(t, f.db, "SELECT nwc_secret, npub FROM nwcsecret ORDER BY nwc_secret", "bob secret 2 | "+bob, "else | else")
	wantRows(t, f.db, "SELECT quote, handle, npub, amount, mint, CASE WHEN paid THEN 'paid' ELSE 'open' END, nsec FROM paymentquote ORDER BY quote",
		"open quote | alice | "+alice+" | 7 | https://mint | open | ", "paid quote | bob | "+bob+" | 5 | https://mint | paid | ")
	wantRows(t, f.db, "SELECT event_id FROM nwcevent", "e1")
	wantRows(t, f.db, "SELECT requester_pubkey, flow, nonce, requester_ts, CAST(used_at AS VARCHAR) FROM nfcrequesternonce",
		"requester | pay | n1 | 5000000000 | 2026-11-23 12:00:00.000006")
	wantRows(t, f.db, "SELECT nonce, nauth, grant_kind, offer_kind, host, label, CAST(created_at AS VARCHAR) FROM receiveofferbootstrap ORDER BY nonce",
		"n2 | nauth | 1 | 2147483647 | h | l | 2026-11-23 12:00:00.000006", "n3 | nauth | 1 | 2 | h |  | 2026-11-23 12:00:00.000006")
	wantRows(t, f.db, "SELECT currency_rate, CAST(refresh_time AS VARCHAR) FROM currencyrate WHERE currency_code = 'EUR'",
		"1.25 | 2026-11-23 12:00:01.000006")
	wantSound(t, f.db)
}

func findsEveryReason(t *testing.T, f fixture) {
	people := strangers(3)
	alice, bob, carol := people[0], people[1], people[2]
	eachWay(t, f, append(everything(alice, bob),
		wallet("alice's key", event.TypeWalletAccessKeyRotated, alice, `{"access_key":"alice key 2"}`)), true)
	register := func(member string) string {
		return fmt.Sprintf(`{"npub":%q,"handle":"carol","home_relay":"r","onboard_code":"c",%s}`, carol, member)
	}
	for i, tc := range []struct{ typ, subject, data, want string }{
		{event.TypeWalletRegistered, alice, fmt.Sprintf(`{"npub":%q,"handle":"new","home_relay":"r","onboard_code":"c"}`, alice), "npub_taken"},
		{event.TypeWalletRegistered, carol, fmt.Sprintf(`{"npub":%q,"handle":"bob","home_relay":"r","onboard_code":"c"}`, carol), "handle_taken"},
		{event.TypeWalletRegistered, carol, register(`"custom_handle":"bobby"`), "custom_handle_taken"},
		{event.TypeWalletRegistered, carol, register(`"access_key":"bob key"`), "access_key_taken"},
		{event.TypeWalletRegistered, carol, register(`"emergency_code":"alice sos"`), "emergency_code_taken"},
		{event.TypeWalletUpdated, carol, `{"owner":"x"}`, "unknown_wallet"},
		{event.TypeWalletUpdated, alice, `{"custom_handle":"bobby"}`, "custom_handle_taken"},
		{event.TypeWalletAccessKeyRotated, carol, `{"access_key":"x"}`, "unknown_wallet"},
		{event.TypeWalletAccessKeyRotated, bob, `{"access_key":"alice key 2"}`, "access_key_taken"},
		{event.TypeWalletAccessKeyRotated, bob, `{"access_key":"alice key"}`, "applied"}, // alice gave it up
		{event.TypeWalletNWCRotated, carol, `{"nwc_secret":"x"}`, "unknown_wallet"},
		{event.TypeWalletNWCRotated, alice, `{"nwc_secret":"bob secret 2"}`, "nwc_secret_taken"},
		{event.TypeWalletNWCRotated, alice, `{"nwc_secret":"bob secret 1"}`, "applied"}, // bob gave it up
		{event.TypeFundsCredited, carol, `{"amount":1}`, "unknown_wallet"},
		{event.TypeFundsCredited, alice, `{"amount":9007199254740991}`, "balance_overflow"},
		{event.TypeFundsDebited, carol, `{"amount":1}`, "unknown_wallet"},
		{event.TypeFundsDebited, alice, `{"amount":67,"fee":1}`, "insufficient_funds"},
		{event.TypeFundsTransferred, carol, fmt.Sprintf(`{"to":%q,"amount":1}`, alice), "unknown_wallet"},
		{event.TypeFundsTransferred, alice, fmt.Sprintf(`{"to":%q,"amount":1}`, carol), "unknown_payee"},
		{event.TypeFundsTransferred, alice, fmt.Sprintf(`{"to":%q,"amount":68}`, bob), "insufficient_funds"},
		{event.TypeFundsTransferred, alice, fmt.Sprintf(`{"to":%q,"amount":67}`, alice), "self_transfer"},
		{event.TypeQuoteCreated, carol, `{"quote":"x","amount":1,"mint":"m"}`, "unknown_wallet"},
		{event.TypeQuoteCreated, bob, `{"quote":"open quote","amount":1,"mint":"m"}`, "quote_taken"},
		{event.TypeQuotePaid, carol, `{"quote":"open quote"}`, "unknown_wallet"},
		{event.TypeQuotePaid, bob, `{"quote":"open quote"}`, "unknown_quote"},
		{event.TypeQuotePaid, bob, `{"quote":"paid quote"}`, "quote_paid"},
		{event.TypeQuotePaid, alice, `{"quote":"open quote"}`, "applied"},
		{event.TypeNWCReceived, bob, `{"event_id":"e1"}`, "nwc_event_seen"},
		{event.TypeNonceUsed, "requester", `{"requester_pubkey":"requester","flow":"pay","nonce":"n1","requester_ts":1}`, "nonce_used"},
		{event.TypeNonceUsed, "requester", `{"requester_pubkey":"requester","flow":"login","nonce":"n1","requester_ts":1}`, "applied"},
		{event.TypeOfferOpened, "n2", `{"nonce":"n2","nauth":"x","grant_kind":1,"offer_kind":1,"host":"h"}`, "nonce_used"},
		{event.TypeCurrencyQuoted, "NOPE", `{"rate":1,"refreshed_at":"2026-11-23T12:00:02Z"}`, "unknown_currency"},
		{event.TypeCurrencyQuoted, "EUR", `{"rate":1,"refreshed_at":"2026-11-23T12:00:01.000006Z"}`, "stale_rate"},
		{event.TypeCurrencyQuoted, "EUR", `{"rate":1,"refreshed_at":"2026-11-23T12:00:01.000007Z"}`, "applied"},
	} {
		e := wallet(fmt.Sprint("reason ", i), tc.typ, tc.subject, tc.data)
		mustAppend(t, f.db, e)
		drainOne(t, f.db, e)
		if got := outcome(t, f.db, e.ID); got != tc.want {
			t.Errorf("%s of %s %s: %s, want %s", tc.typ, tc.subject, tc.data, got, tc.want)
		}
	}
	// A full payee is the last reason: bob has 25 sats, and the first credit fills him up.
	full := credit("fill bob", bob, event.MaxAmount-25)
	last := transfer("reason last", alice, bob, 1, 0)
	mustAppend(t, f.db, full, last)
	drainOne(t, f.db, full)
	drainOne(t, f.db, last)
	if got := outcome(t, f.db, last.ID); got != "balance_overflow" {
		t.Errorf("a transfer to a full wallet: %s", got)
	}
	wantSound(t, f.db)
}

func valuesChangeHands(t *testing.T, f fixture) {
	pair := neighbours(3)
	low, high, third := pair[0], pair[1], pair[2]
	rename := func(id, npub, to string) event.Event {
		return wallet(id, event.TypeWalletUpdated, npub, fmt.Sprintf(`{"custom_handle":%q}`, to))
	}
	rekey := func(id, npub, to string) event.Event {
		return wallet(id, event.TypeWalletAccessKeyRotated, npub, fmt.Sprintf(`{"access_key":%q}`, to))
	}
	resecret := func(id, npub, to string) event.Event {
		return wallet(id, event.TypeWalletNWCRotated, npub, fmt.Sprintf(`{"nwc_secret":%q}`, to))
	}
	eachWay(t, f, []event.Event{
		registration("1", low, "low"), registration("2", high, "high"),
		rename("3", low, "h1"), rename("4", high, "h2"), rekey("5", low, "k1"), rekey("6", high, "k2"), resecret("7", low, "s1"), resecret("8", high, "s2"),
	}, false)
	// One batch: each takes what the other had, by way of a third value; and a new wallet takes what was given up.
	batch := []event.Event{
		rename("11", low, "h0"), rename("12", high, "h1"), rename("13", low, "h2"),
		rekey("14", high, "k0"), rekey("15", low, "k2"), rekey("16", high, "k1"),
		resecret("17", low, "s0"), resecret("18", high, "s1"), resecret("19", low, "s2"),
		registration("20", third, "third"), rename("21", third, "h0"), rekey("22", third, "k0"), resecret("23", third, "s0"),
	}
	eachWay(t, f, batch, false)
	for _, e := range batch {
		if got := outcome(t, f.db, e.ID); got != "applied" {
			t.Errorf("event %s: %s", e.ID, got)
		}
	}
	wantRows(t, f.db, "SELECT handle, custom_handle, access_key, nwc_secret FROM registeredsafebox JOIN nwcsecret USING (npub) ORDER BY handle",
		"high | h1 | k1 | s1", "low | h2 | k2 | s2", "third | h0 | k0 | s0")
	wantSound(t, f.db)
}

func paysOlderQuotes(t *testing.T, f fixture) {
	alice := person(1)
	damage(t, f.db, `INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid) VALUES
		('n', 'alice', 'q', 3, 'm', true), ('n', 'alice', 'q', 4, 'm', false), ('n', 'alice', 'q', 5, 'm', false), ('n', 'bob', 'q', 6, 'm', false)`)
	pay := func(id string) event.Event { return wallet(id, event.TypeQuotePaid, alice, `{"quote":"q"}`) }
	eachWay(t, f, []event.Event{
		registration("1", alice, "alice"), wallet("2", event.TypeQuoteCreated, alice, `{"quote":"q","amount":1,"mint":"m"}`), pay("3"), pay("4"), pay("5"),
	}, true)
	for id, want := range map[string]string{"2": "quote_taken", "3": "applied", "4": "applied", "5": "quote_paid"} {
		if got := outcome(t, f.db, id); got != want {
			t.Errorf("event %s: %s, want %s", id, got, want)
		}
	}
	wantRows(t, f.db, "SELECT handle, amount, CASE WHEN paid THEN 1 ELSE 0 END FROM paymentquote ORDER BY id", "alice | 3 | 1", "alice | 4 | 1", "alice | 5 | 1", "bob | 6 | 0")
	wantRows(t, f.db, "SELECT balance FROM registeredsafebox", "9")
	wantSound(t, f.db)
}

func holdsLargestAmounts(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	const most = event.MaxAmount
	mustAppend(t, f.db, registration("1", alice, "alice"), registration("2", bob, "bob"), credit("3", alice, most))
	drain(t, f.db)
	mustAppend(t, f.db, transfer("4", alice, bob, most, 0),
		wallet("5", event.TypeQuoteCreated, alice, fmt.Sprintf(`{"quote":"q","amount":%d,"mint":"m"}`, int64(most))),
		wallet("6", event.TypeQuotePaid, alice, `{"quote":"q"}`), transfer("7", alice, bob, 1, most-1))
	drain(t, f.db)
	wantRows(t, f.db, "SELECT handle, balance FROM registeredsafebox ORDER BY handle", fmt.Sprint("alice | ", int64(most)), fmt.Sprint("bob | ", int64(most)))
	if got := outcome(t, f.db, "7"); got != "balance_overflow" {
		t.Errorf("a transfer to a full wallet: %s", got)
	}
	a, err := f.db.Audit(Context(t), topic, group)
	if err != nil || !a.OK || !a.BalanceTotal.Equal(ledger.Sats(2*most)) || !a.CreditTotal.Equal(ledger.Sats(3*most)) || !a.DebitTotal.Equal(ledger.Sats(most)) {
		t.Errorf("audit %+v, %v", a, err)
	}
}

func holdsTransfersBack(t *testing.T, f fixture) {
	people := strangers(3)
	alice, bob, carol := people[0], people[1], people[2]
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 10))
	drainOne(t, f.db, credit("", alice, 1))
	mustAppend(t, f.db, registration("3", bob, "bob"))
	mustAppend(t, f.db, transfer("4", alice, bob, 5, 0), transfer("5", alice, carol, 1, 0))
	mustAppend(t, f.db, registration("6", carol, "carol")) // too late for event 5

	join(t, f.db)
	if n, err := processAll(Context(t), f.db, event.Partition(alice)); err == nil || n != 0 || !refused(err) {
		t.Fatalf("%d events of the payer went through before the payee was registered, %v", n, err)
	}
	wantRows(t, f.db, "SELECT count(*) FROM ledger_entry WHERE type = '"+event.TypeFundsTransferred+"'", "0")
	drainOne(t, f.db, registration("", bob, "bob"))
	drainOne(t, f.db, credit("", alice, 1))
	drain(t, f.db)
	for id, want := range map[string]string{"4": "applied", "5": "unknown_payee", "6": "applied"} {
		if got := outcome(t, f.db, id); got != want {
			t.Errorf("event %s: %s, want %s", id, got, want)
		}
	}
	wantSound(t, f.db)
}

func holdsTransfersBackInThePast(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	mustAppend(t, f.db, registration("1", alice, "alice"), credit("2", alice, 10))
	drainOne(t, f.db, credit("", alice, 1))
	mustAppend(t, f.db, registration("3", bob, "bob"))
	clockGoesBack(t, f.db)
	mustAppend(t, f.db, transfer("4", alice, bob, 5, 0))
	join(t, f.db)
	if n, err := processAll(Context(t), f.db, event.Partition(alice)); err == nil || n != 0 || !refused(err) {
		t.Fatalf("%d events of the payer went through before the payee was registered, %v", n, err)
	}
	drain(t, f.db)
	if got := outcome(t, f.db, "4"); got != "applied" {
		t.Errorf("the transfer: %s", got)
	}
	wantSound(t, f.db)
}

func journals(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	eachWay(t, f, []event.Event{
		credit("0", alice, 1), // no wallet yet
		registration("1", alice, "alice"), registration("2", bob, "bob"), credit("3", alice, 10), transfer("4", alice, bob, 6, 1),
		transfer("5", alice, bob, 6, 1),
	}, true)
	wantRows(t, f.db, "SELECT position, leg, seq, type, outcome, reason, amount, fee, balance FROM ledger_entry WHERE subject = '"+alice+"' ORDER BY position, leg",
		"1 | 0 |  | safebox.funds.credited.v1 | rejected | unknown_wallet | 0 | 0 | 0",
		"2 | 0 | 1 | safebox.wallet.registered.v1 | applied |  | 0 | 0 | 0",
		"3 | 0 | 2 | safebox.funds.credited.v1 | applied |  | 10 | 0 | 10",
		"4 | 0 | 3 | safebox.funds.transferred.v1 | applied |  | -6 | 1 | 3",
		"5 | 0 | 4 | safebox.funds.transferred.v1 | rejected | insufficient_funds | 0 | 0 | 3")
	wantRows(t, f.db, fmt.Sprintf("SELECT partition, position, leg, seq, amount, fee, balance FROM ledger_entry WHERE subject = '%s' ORDER BY seq", bob),
		fmt.Sprintf("%d | 1 | 0 | 1 | 0 | 0 | 0", event.Partition(bob)), fmt.Sprintf("%d | 4 | 1 | 2 | 6 | 0 | 6", event.Partition(alice)))
	entries, err := f.db.Entries(Context(t), alice, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.At.Equal(moment) {
			t.Errorf("an entry at %v, want the time of its event, %v", e.At, moment)
		}
	}
	if diff := cmp.Diff(5, len(entries)); diff != "" {
		t.Errorf("entries of alice (-want +got):\n%s", diff)
	}
}
