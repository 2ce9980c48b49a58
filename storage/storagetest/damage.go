package storagetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// damageTests hold the audit, and its rebuild, to what they find. Each breaks one thing and puts it right again.
var damageTests = []conformanceTest{
	{"an audit finds entries that are not what their events say", auditFindsWrongEntries},
	{"an audit adds up more than 64 bits hold", auditAddsUpMuch},
	{"a rebuild finds what was changed with the books kept consistent", rebuildFindsTampering},
	{"a rebuild says what wallets from before the events leave open", rebuildOfAdopted},
}

// damaged are the tables that these tests change.
var damaged = []string{
	"event_log", "event_cursor", "ledger_entry", "parked_event", "parked_action", "registeredsafebox", "paymentquote", "nwcsecret",
	"nwcevent", "nfcrequesternonce", "receiveofferbootstrap", "currencyrate",
}

// keep copies the tables, and restored are the statements that put the copies back.
func keep(t *testing.T, db storage.DB) {
	var copies []string
	for _, table := range damaged {
		copies = append(copies, "DROP TABLE IF EXISTS kept_"+table, fmt.Sprintf("CREATE TABLE kept_%s AS SELECT * FROM %[1]s", table))
	}
	damage(t, db, copies...)
}

func restored() (back []string) {
	for _, table := range damaged {
		back = append(back, "DELETE FROM "+table, fmt.Sprintf("INSERT INTO %s SELECT * FROM kept_%[1]s", table))
	}
	return back
}

// A damageCase is one thing that is broken, and a finding that has to be among those made.
type damageCase struct {
	name string
	do   []string
	want string // check and subject
}

// finds does each damage, looks for its finding, and undoes it. After all of them nothing may be found.
func finds(t *testing.T, db storage.DB, look func(*testing.T, storage.DB) ledger.Audit, cases []damageCase) {
	t.Helper()
	keep(t, db)
	for _, c := range cases {
		damage(t, db, append(restored(), c.do...)...)
		a := look(t, db)
		if a.OK || !slices.ContainsFunc(a.Findings, func(f ledger.Finding) bool { return f.Check+" "+f.Subject == c.want && f.Detail != "" }) {
			t.Errorf("%s: OK %v, %+v; want %q", c.name, a.OK, a.Findings, c.want)
		}
	}
	damage(t, db, restored()...)
	wantSound(t, db)
}

func rebuilt(t *testing.T, db storage.DB) ledger.Audit {
	t.Helper()
	told := int64(-1)
	a, err := db.Rebuild(Context(t), topic, group, func(n int64) { told = n })
	if err != nil {
		t.Fatal(err)
	}
	if a.Rebuilt == nil || told < 0 || told > a.Rebuilt.Events {
		t.Errorf("rebuilt %+v, told of %d events", a.Rebuilt, told)
	}
	return a
}

// tamperedBooks are a ledger with an event of every type and many a rejection. bob and carol share a partition.
type tamperedBooks struct{ alice, bob, carol string }

func makeBooks(t *testing.T, f fixture) tamperedBooks {
	t.Helper()
	pair := neighbours(2)
	b := tamperedBooks{bob: pair[0], carol: pair[1]}
	for _, p := range strangers(2) {
		if event.Partition(p) != event.Partition(b.bob) {
			b.alice = p
		}
	}
	mustAppend(t, f.db,
		wallet("alice", event.TypeWalletRegistered, b.alice, fmt.Sprintf(`{"npub":%q,"handle":"alice","home_relay":"wss://a","onboard_code":"code",
			"access_key":"alice key","custom_handle":"ally","owner":"owner","emergency_code":"alice sos","currency_code":"EUR"}`, b.alice)),
		registration("bob", b.bob, "bob"), registration("carol", b.carol, "carol"))
	drain(t, f.db)
	for i, e := range []event.Event{
		credit("credit", b.alice, 100),
		transfer("transfer", b.alice, b.bob, 30, 2),
		wallet("debit", event.TypeFundsDebited, b.bob, `{"amount":2,"fee":1}`),
		wallet("too much", event.TypeFundsDebited, b.bob, `{"amount":1000}`),
		wallet("quote", event.TypeQuoteCreated, b.alice, `{"quote":"q","amount":5,"mint":"https://mint"}`),
		wallet("paid", event.TypeQuotePaid, b.alice, `{"quote":"q"}`),
		wallet("paid again", event.TypeQuotePaid, b.alice, `{"quote":"q"}`),
		wallet("taken", event.TypeWalletUpdated, b.bob, `{"custom_handle":"ally"}`),
		wallet("secret", event.TypeWalletNWCRotated, b.bob, `{"nwc_secret":"secret"}`),
		wallet("nwc", event.TypeNWCReceived, b.alice, `{"event_id":"e1"}`),
		wallet("nonce", event.TypeNonceUsed, "requester", `{"requester_pubkey":"requester","flow":"pay","nonce":"n1","requester_ts":5}`),
		wallet("offer", event.TypeOfferOpened, "n2", `{"nonce":"n2","nauth":"nauth","grant_kind":1,"offer_kind":2,"host":"h"}`),
		wallet("rate", event.TypeCurrencyQuoted, "EUR", `{"rate":1.25,"refreshed_at":"2026-11-23T12:00:01Z"}`),
		transfer("rejected transfer", b.carol, b.bob, 1, 0),
		credit("last credit", b.alice, 30),
	} {
		mustAppend(t, f.db, e)
		drainOne(t, f.db, e)
		if i == 3 { // carol's own event comes late: it was parked, while bob's after it led to a payment to her
			late := credit("late", b.carol, 7)
			mustAppend(t, f.db, late)
			parkAll(t, f.db, event.Partition(b.carol), "why")
			for _, more := range []event.Event{transfer("onwards", b.bob, b.alice, 1, 0), transfer("meanwhile", b.alice, b.carol, 1, 0)} {
				mustAppend(t, f.db, more)
				drainOne(t, f.db, more)
			}
			again := claimParked(t, f.db, b.carol)
			if _, err := apply(Context(t), again); err != nil {
				t.Fatal(err)
			}
			mustCommit(t, again, again.Records()[0].Position)
			back := wallet("back", event.TypeFundsDebited, b.carol, `{"amount":8}`)
			mustAppend(t, f.db, back)
			drainOne(t, f.db, back)
		}
	}
	wantSound(t, f.db)
	return b
}

// entryOf names the entry of an event.
func entryOf(id string, leg int) string {
	return fmt.Sprintf(`leg = %d AND EXISTS (SELECT 1 FROM event_log l
		WHERE l.topic = '%s' AND l.partition = ledger_entry.partition AND l.position = ledger_entry.position AND l.id = '%s')`, leg, topic, id)
}

func auditFindsWrongEntries(t *testing.T, f fixture) {
	b := makeBooks(t, f)
	set := func(id string, leg int, what string) []string {
		return []string{"UPDATE ledger_entry SET " + what + " WHERE " + entryOf(id, leg)}
	}
	newLeg := func(leg int, id string) []string {
		return []string{fmt.Sprintf(`INSERT INTO ledger_entry (partition, position, leg, subject, type, outcome, amount, fee, balance, at)
			SELECT partition, position, %d, '%s', type, 'applied', 0, 0, 0, time FROM event_log WHERE id = '%s'`, leg, b.carol, id)}
	}
	finds(t, f.db, func(t *testing.T, db storage.DB) ledger.Audit { return audit(t, f) }, []damageCase{
		{"a transfer without its payee's leg", []string{"DELETE FROM ledger_entry WHERE " + entryOf("transfer", 1)}, "payee_entry " + b.alice},
		{"a payee's leg of a credit", newLeg(1, "credit"), "payee_entry " + b.alice},
		{"a second leg for a payee", newLeg(2, "transfer"), "payee_entry " + b.alice},
		{"a leg for another payee", set("transfer", 1, "subject = '"+b.carol+"', seq = 9"), "payee_entry " + b.alice},
		{"a leg with another amount", set("transfer", 1, "amount = amount + 1"), "payee_entry " + b.alice},
		{"a leg with a fee", set("transfer", 1, "fee = 1, amount = amount + 1"), "payee_entry " + b.alice},
		{"a leg without a number", set("transfer", 1, "seq = NULL"), "payee_entry " + b.alice},
		{"a rejected leg", set("transfer", 1, "outcome = 'rejected', reason = 'unknown_payee'"), "payee_entry " + b.alice},
		{"a leg of a rejected transfer", newLeg(1, "rejected transfer"), "payee_entry " + b.carol},
		{"a payer's amount", set("transfer", 0, "amount = amount - 1, fee = fee + 1"), "entry_amount " + b.alice},
		{"a credit's amount", set("credit", 0, "amount = amount + 1"), "entry_amount " + b.alice},
		{"a debit's amount and fee exchanged for each other", set("debit", 0, "amount = -1, fee = 2"), "entry_amount " + b.bob},
		{"a rejected event that moves sats", set("too much", 0, "amount = 1"), "entry_amount " + b.bob},
		{"an event that is no payment and moves sats", set("nwc", 0, "fee = 1"), "entry_amount " + b.alice},
		{"an entry of another type", set("credit", 0, "type = 'safebox.quote.paid.v1'"), "entry_event " + b.alice},
		{"an entry of another subject", set("nonce", 0, "subject = 'another'"), "entry_event requester"},
		{"a reason that the catalogue does not know", set("too much", 0, "reason = 'handle_taken'"), "entry_outcome " + b.bob},
		{"a rejection without a reason", set("too much", 0, "reason = NULL"), "entry_outcome " + b.bob},
		{"an applied event with a reason", set("nwc", 0, "reason = 'nwc_event_seen'"), "entry_outcome " + b.alice},
		{"an outcome that there is not", set("nwc", 0, "outcome = 'lost'"), "entry_outcome " + b.alice},
		{"a quote that paid another amount", set("paid", 0, "amount = amount + 1"), "quote_amount " + b.alice},
		{"a quote whose row is not paid", []string{"UPDATE paymentquote SET paid = false"}, "quote_amount " + b.alice},
		{"an event whose amount was changed", []string{"UPDATE event_log SET data = '{\"amount\":99}' WHERE id = 'credit'"}, "entry_amount " + b.alice},
		{"an applied event that cannot be decoded", []string{"UPDATE event_log SET data = '{' WHERE id = 'credit'"}, "entry_outcome " + b.alice},
		{
			"an applied entry for an event after the cursor",
			[]string{fmt.Sprintf("UPDATE event_cursor SET position = 1 WHERE partition = %d", event.Partition(b.bob))},
			"processed_beyond_cursor " + b.bob,
		},
		{"an event that somebody unknown gave up", set("too much", 0, "reason = 'skipped'"), "skip_without_operator " + b.bob},
		{"a balance that was taken below zero", []string{
			"UPDATE ledger_entry SET amount = amount - 1000, balance = balance - 1000 WHERE " + entryOf("debit", 0),
			"UPDATE registeredsafebox SET balance = balance - 1000 WHERE handle = 'bob'",
		}, "wallet_range " + b.bob},
		{"a debit that takes the balance below zero", set("debit", 0, "balance = -1"), "entry_range " + b.bob},
		{"a refusal for want of funds that were there", set("too much", 0, "balance = 1000"), "entry_refusal " + b.bob},
		{"an entry's balance out of range", set("last credit", 0, "balance = 9007199254740992"), "entry_range " + b.alice},
	})
}

// auditAddsUpMuch lets more sats pass than a 64-bit sum holds.
func auditAddsUpMuch(t *testing.T, f fixture) {
	const most = event.MaxAmount
	alice := person(1)
	mustAppend(t, f.db, registration("alice", alice, "alice"))
	drain(t, f.db)
	var all []event.Event
	for i := range 1100 {
		all = append(all, credit(fmt.Sprint("in", i), alice, most), wallet(fmt.Sprint("out", i), event.TypeFundsDebited, alice, fmt.Sprintf(`{"amount":%d,"fee":1}`, most-1)))
	}
	mustAppend(t, f.db, all...)
	drain(t, f.db)
	a := audit(t, f)
	if want := "9907919180215090100"; !a.OK || a.CreditTotal.String() != want || a.BalanceTotal.String() != "0" || a.FeeTotal.String() != "1100" {
		t.Errorf("%+v: want credits of %s", a, want)
	}
	// Numbers that no ledger makes are found, too, and are no error.
	finds(t, f.db, func(t *testing.T, db storage.DB) ledger.Audit { return audit(t, f) }, []damageCase{
		{"an amount at the end of 64 bits", []string{"UPDATE ledger_entry SET amount = 9223372036854775807 WHERE " + entryOf("in7", 0)}, "entry_amount " + alice},
		{"fees at the end of 64 bits", []string{"UPDATE ledger_entry SET fee = 9223372036854775807 WHERE amount < 0"}, "entry_balance " + alice},
		{"a balance at the end of 64 bits", []string{"UPDATE ledger_entry SET balance = 9223372036854775807 WHERE " + entryOf("in7", 0)}, "entry_range " + alice},
	})
}

func rebuildFindsTampering(t *testing.T, f fixture) {
	b := makeBooks(t, f)
	if a := rebuilt(t, f.db); a.Rebuilt.Events != 22 || a.Rebuilt.Wallets != 3 || a.Rebuilt.Adopted != 0 || a.Rebuilt.Unproved != 0 || a.Rebuilt.Aside == 0 {
		t.Errorf("rebuilt %+v", *a.Rebuilt)
	}
	walletSet := func(what string) []string {
		return []string{"UPDATE registeredsafebox SET " + what + " WHERE handle = 'bob'"}
	}
	entrySet := func(id, what string) []string {
		return []string{"UPDATE ledger_entry SET " + what + " WHERE " + entryOf(id, 0)}
	}
	unseen := func(t *testing.T, db storage.DB) ledger.Audit {
		if a := audit(t, f); !a.OK {
			t.Errorf("an audit without a rebuild finds it: %+v", a.Findings)
		}
		return rebuilt(t, db)
	}
	finds(t, f.db, unseen, []damageCase{
		{"a credit that was taken back", append(entrySet("last credit", "outcome = 'rejected', reason = 'balance_overflow', amount = 0, balance = balance - 30"),
			"UPDATE registeredsafebox SET balance = balance - 30 WHERE handle = 'alice'"), "rebuilt_outcome " + b.alice},
		{"a wallet that began with sats", []string{
			"UPDATE registeredsafebox SET opening_balance = 5, balance = balance + 5 WHERE handle = 'bob'",
			"UPDATE ledger_entry SET balance = balance + 5 WHERE seq IS NOT NULL AND subject = '" + b.bob + "'",
		}, "rebuilt_wallet " + b.bob},
		{"a rejected rename that became applied", entrySet("taken", "outcome = 'applied', reason = NULL"), "rebuilt_wallet " + b.bob},
		{"another reason for a rejection", entrySet("paid again", "reason = 'unknown_quote'"), "rebuilt_outcome " + b.alice},
		{"a rejection that nothing explains", entrySet("secret", "outcome = 'rejected', reason = 'nwc_secret_taken'"), "rebuilt_outcome " + b.bob},
		{"an event of nobody's that was seen before", entrySet("nwc", "outcome = 'rejected', reason = 'nwc_event_seen'"), "rebuilt_outcome " + b.alice},
		{"a nonce that was not used before", entrySet("nonce", "outcome = 'rejected', reason = 'nonce_used'"), "rebuilt_outcome requester"},
		{"an entry at another time", entrySet("credit", "at = '2020-01-01T00:00:00.000000Z'"), "rebuilt_entry " + b.alice},
		{"a handle", walletSet("handle = 'robert'"), "rebuilt_wallet " + b.bob},
		{"a custom handle", walletSet("custom_handle = 'bobby'"), "rebuilt_wallet " + b.bob},
		{"an owner", walletSet("owner = 'somebody'"), "rebuilt_wallet " + b.bob},
		{"a home relay", walletSet("home_relay = 'wss://elsewhere'"), "rebuilt_wallet " + b.bob},
		{"an onboard code", walletSet("onboard_code = 'other'"), "rebuilt_wallet " + b.bob},
		{"an access key", walletSet("access_key = 'stolen'"), "rebuilt_wallet " + b.bob},
		{"an emergency code", walletSet("emergency_code = 'stolen'"), "rebuilt_wallet " + b.bob},
		{"a currency", walletSet("currency_code = 'GBP'"), "rebuilt_wallet " + b.bob},
		{"what a registration said", []string{"UPDATE event_log SET data = replace(data, 'wss://relay', 'wss://other') WHERE id = 'bob'"}, "rebuilt_wallet " + b.bob},
		{"a quote's mint", []string{"UPDATE paymentquote SET mint = 'https://other'"}, "rebuilt_quote " + b.alice},
		{"a Nostr event that was forgotten", []string{"DELETE FROM nwcevent"}, "rebuilt_record e1"},
		{"a nonce that was forgotten", []string{"DELETE FROM nfcrequesternonce"}, "rebuilt_record requester"},
		{"an offer that was forgotten", []string{"DELETE FROM receiveofferbootstrap"}, "rebuilt_record n2"},
		{"a secret", []string{"UPDATE nwcsecret SET nwc_secret = 'other'"}, "rebuilt_record " + b.bob},
		{"a rate", []string{"UPDATE currencyrate SET currency_rate = 2 WHERE currency_code = 'EUR'"}, "rebuilt_rate EUR"},
	})
	finds(t, f.db, rebuilt, []damageCase{
		{"an entry with a number too high", []string{
			"UPDATE ledger_entry SET seq = 99 WHERE " + entryOf("last credit", 0),
		}, "rebuilt_order " + b.alice},
		{"a wallet that is gone", []string{"DELETE FROM registeredsafebox WHERE handle = 'carol'"}, "rebuilt_wallet " + b.carol},
	})
}

func rebuildOfAdopted(t *testing.T, f fixture) {
	alice, bob := person(1), person(2)
	damage(t, f.db,
		`INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, balance, opening_balance, custom_handle)
			VALUES ('alice', '`+alice+`', 'wss://a', 'c', 40, 40, 'ally')`,
		`INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid) VALUES ('n', 'alice', 'old', 3, 'm', false)`,
		`INSERT INTO nwcevent (event_id) VALUES ('seen')`)
	mustAppend(t, f.db, registration("bob", bob, "bob"), credit("credit", alice, 2))
	drain(t, f.db)
	for _, e := range []event.Event{
		wallet("taken", event.TypeWalletUpdated, bob, `{"custom_handle":"ally"}`),
		wallet("given up", event.TypeWalletUpdated, alice, `{"custom_handle":"new"}`),
		wallet("free now", event.TypeWalletUpdated, bob, `{"custom_handle":"ally"}`),
		wallet("old quote", event.TypeQuotePaid, alice, `{"quote":"old"}`),
		wallet("old quote again", event.TypeQuotePaid, alice, `{"quote":"old"}`),
		wallet("seen", event.TypeNWCReceived, alice, `{"event_id":"seen"}`),
		transfer("transfer", alice, bob, 10, 0),
	} {
		mustAppend(t, f.db, e)
		drainOne(t, f.db, e)
	}
	a := rebuilt(t, f.db)
	if !a.OK || a.Rebuilt.Adopted != 1 || a.Rebuilt.Unproved != 2 { // who had "ally" first; who made "seen"
		t.Errorf("OK %v, %+v, %+v", a.OK, *a.Rebuilt, a.Findings)
	}
	finds(t, f.db, rebuilt, []damageCase{
		{"a balance before the events", []string{
			"UPDATE registeredsafebox SET opening_balance = 41 WHERE handle = 'alice'",
		}, "rebuilt_entry " + alice},
		{"a custom handle that an event set", []string{"UPDATE registeredsafebox SET custom_handle = 'x' WHERE handle = 'alice'"}, "rebuilt_wallet " + alice},
	})
}
