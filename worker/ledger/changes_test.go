package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var byValue = cmpopts.IgnoreUnexported(ledger.Account{}, ledger.Quote{})

func TestEntriesTellWhatEachEventDid(t *testing.T) {
	s := stateOf([]given{
		wallet("alice", 100, counted(4)), wallet("bob", 1),
		quote(ledger.Quote{ID: 9, Npub: "bob", Quote: "q", Amount: 30}),
		func(s *ledger.State) { s.AddRate(ledger.Rate{Code: "EUR"}) },
	})
	commands := (&log{}).
		add("alice", event.FundsCredited{Amount: 5}).
		add("alice", event.FundsDebited{Amount: 10, Fee: 2}).
		add("alice", event.FundsDebited{Amount: 1000}).
		add("alice", event.FundsTransferred{To: "bob", Amount: 20, Fee: 3}).
		add("bob", event.QuotePaid{Quote: "q"}).
		add("carol", event.FundsCredited{Amount: 1}).
		add("carol", registered("carol")).
		add("carol", registered("carol")).
		add("alice", event.FundsTransferred{To: "carol", Amount: 70}).
		add("dave", event.NWCReceived{EventID: "e"}).
		add("bob", event.NWCReceived{EventID: "f"}).
		add("pk", event.NonceUsed{RequesterPubkey: "pk", Flow: "f", Nonce: "n"}).
		add("n", event.OfferOpened{Nonce: "n"}).
		add("EUR", event.CurrencyQuoted{Rate: 1, RefreshedAt: noon}).
		commands
	commands[0].Time = noon.Add(time.Hour)
	foldAll(t, s, commands)

	at := map[int64]time.Time{1: noon.Add(time.Hour)}
	entry := func(position int64, leg int, subject string, seq int64, reason string, amount, fee, balance int64) ledger.Entry {
		e := ledger.Entry{
			Partition: 7, Position: position, Leg: leg, Subject: subject, Seq: seq, Type: typeOf(commands[position-1].Payload),
			Outcome: ledger.Applied, Reason: reason, Amount: amount, Fee: fee, Balance: balance, At: noon,
		}
		if reason != "" {
			e.Outcome = ledger.Rejected
		}
		if other, ok := at[position]; ok {
			e.At = other
		}
		return e
	}
	want := []ledger.Entry{
		entry(1, 0, "alice", 5, "", 5, 0, 105),
		entry(2, 0, "alice", 6, "", -10, 2, 93),
		entry(3, 0, "alice", 7, "insufficient_funds", 0, 0, 93),
		entry(4, 0, "alice", 8, "", -20, 3, 70),
		entry(4, 1, "bob", 1, "", 20, 0, 21),
		entry(5, 0, "bob", 2, "", 30, 0, 51),
		entry(6, 0, "carol", 0, "unknown_wallet", 0, 0, 0), // no wallet then, so no number
		entry(7, 0, "carol", 1, "", 0, 0, 0),
		entry(8, 0, "carol", 2, "npub_taken", 0, 0, 0),
		entry(9, 0, "alice", 9, "", -70, 0, 0),
		entry(9, 1, "carol", 3, "", 70, 0, 70),
		entry(10, 0, "dave", 0, "", 0, 0, 0),
		entry(11, 0, "bob", 3, "", 0, 0, 51),
		entry(12, 0, "pk", 0, "", 0, 0, 0),
		entry(13, 0, "n", 0, "", 0, 0, 0),
		entry(14, 0, "EUR", 0, "", 0, 0, 0),
	}
	want[2].Wanted = 1000
	if diff := cmp.Diff(want, s.Changes().Entries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASubjectThatIsNoWalletIsNotCountedEvenWhereAWalletHasItsName(t *testing.T) {
	s := stateOf([]given{wallet("alice", 5)})
	foldAll(t, s, (&log{}).
		add("alice", event.NonceUsed{RequesterPubkey: "alice", Nonce: "n"}).
		add("alice", event.OfferOpened{Nonce: "alice"}).
		add("alice", event.CurrencyQuoted{Rate: 1, RefreshedAt: noon}).commands)
	c := s.Changes()
	if len(c.Moved) != 0 {
		t.Errorf("a wallet was counted: %+v", c.Moved[0])
	}
	for _, e := range c.Entries {
		if e.Seq != 0 || e.Balance != 0 {
			t.Errorf("entry %+v has a wallet's number or balance", e)
		}
	}
}

func TestChangesNameEachRowOnceWithItsLastValues(t *testing.T) {
	s := stateOf([]given{
		wallet("zoe", 50, accessKey("k")), wallet("bob", 1, custom("bobby")), wallet("eve", 3),
		quote(ledger.Quote{ID: 8, Npub: "zoe", Quote: "z", Amount: 2}),
		quote(ledger.Quote{ID: 3, Handle: "@bob", Quote: "b", Amount: 4}),
		func(s *ledger.State) {
			for _, code := range []string{"USD", "EUR", "JPY"} {
				s.AddRate(ledger.Rate{Code: code, Rate: 1, RefreshedAt: noon})
			}
		},
	})
	quoted := func(rate float64, after time.Duration) event.CurrencyQuoted {
		return event.CurrencyQuoted{Rate: rate, RefreshedAt: noon.Add(after)}
	}
	foldAll(t, s, (&log{}).
		add("yan", registered("yan", withKey("y"))).
		add("carol", registered("carol")).
		add("zoe", event.FundsTransferred{To: "bob", Amount: 5}).
		add("zoe", event.FundsDebited{Amount: 1}).
		add("zoe", event.WalletAccessKeyRotated{}).
		add("zoe", event.WalletAccessKeyRotated{AccessKey: ptr("k2")}).
		add("bob", event.WalletUpdated{CustomHandle: set("b1")}).
		add("bob", event.WalletUpdated{CustomHandle: set("b2")}).
		add("yan", event.FundsCredited{Amount: 9}).
		add("yan", event.WalletUpdated{Owner: set("o")}).
		add("zoe", event.QuotePaid{Quote: "z"}).
		add("bob", event.QuotePaid{Quote: "b"}).
		add("yan", event.QuoteCreated{Quote: "y", Amount: 6, Mint: "m"}).
		add("yan", event.QuotePaid{Quote: "y"}).
		add("carol", event.QuoteCreated{Quote: "c", Amount: 7, Mint: "m"}).
		add("zoe", event.WalletNWCRotated{NWCSecret: "s1"}).
		add("zoe", event.WalletNWCRotated{NWCSecret: "s2"}).
		add("bob", event.WalletNWCRotated{NWCSecret: "s3"}).
		add("zoe", event.NWCReceived{EventID: "e2"}).
		add("zoe", event.NWCReceived{EventID: "e1"}).
		add("pk", event.NonceUsed{RequesterPubkey: "pk", Flow: "f", Nonce: "n", RequesterTS: 4}).
		add("n", event.OfferOpened{Nonce: "n", Nauth: "a", GrantKind: 1, OfferKind: 2, Host: "h", Label: ptr("l")}).
		add("USD", quoted(2, time.Second)).
		add("USD", quoted(3, time.Minute)).
		add("EUR", quoted(4, time.Second)).
		add("JPY", quoted(5, 0)).commands)

	c := s.Changes()
	account := func(npub string, id, balance, entries int64, with ...func(*ledger.Account)) *ledger.Account {
		a := &ledger.Account{ID: id, Npub: npub, Handle: "@" + npub, HomeRelay: "wss://relay", OnboardCode: "code", Balance: balance, EntryCount: entries}
		for _, w := range with {
			w(a)
		}
		return a
	}
	bob := account("bob", 'b', 10, 5, custom("b2"))
	zoe := account("zoe", 'z', 46, 9, accessKey("k2"))
	want := ledger.Changes{
		Registered: []*ledger.Account{account("yan", 0, 15, 5, accessKey("y"), owned("o")), account("carol", 0, 0, 2)},
		Moved:      []*ledger.Account{bob, zoe},
		Profiled:   []*ledger.Account{bob, zoe},
		Created: []*ledger.Quote{
			{Npub: "yan", Handle: "@yan", Quote: "y", Amount: 6, Mint: "m", Paid: true},
			{Npub: "carol", Handle: "@carol", Quote: "c", Amount: 7, Mint: "m"},
		},
		Settled: []*ledger.Quote{
			{ID: 3, Handle: "@bob", Quote: "b", Amount: 4, Paid: true},
			{ID: 8, Npub: "zoe", Quote: "z", Amount: 2, Paid: true},
		},
		Secrets:   []ledger.Secret{{Secret: "s3", Npub: "bob"}, {Secret: "s2", Npub: "zoe"}},
		NWCEvents: []string{"e2", "e1"},
		Nonces:    []ledger.NonceUse{{Nonce: ledger.Nonce{RequesterPubkey: "pk", Flow: "f", Nonce: "n"}, RequesterTS: 4, UsedAt: noon}},
		Offers: []ledger.Offer{{
			OfferOpened: event.OfferOpened{Nonce: "n", Nauth: "a", GrantKind: 1, OfferKind: 2, Host: "h", Label: ptr("l")}, CreatedAt: noon,
		}},
		Rates: []*ledger.Rate{{Code: "EUR", Rate: 4, RefreshedAt: noon.Add(time.Second)}, {Code: "USD", Rate: 3, RefreshedAt: noon.Add(time.Minute)}},
	}
	if diff := cmp.Diff(want, c, byValue, cmpopts.IgnoreFields(ledger.Changes{}, "Entries")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(c.Entries) != 27 {
		t.Errorf("%d entries, want one for each of 26 events and one for the payee", len(c.Entries))
	}
}

func TestABatchThatChangesNothingChangesNothing(t *testing.T) {
	s := stateOf([]given{wallet("alice", 1), quote(ledger.Quote{ID: 1, Npub: "alice", Quote: "q", Paid: true})})
	if diff := cmp.Diff(ledger.Changes{}, s.Changes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
