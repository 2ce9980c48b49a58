package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// A foldCase is one event, what came before it in its batch, and what the database had before that.
type foldCase struct {
	name   string
	have   []given
	before *log
	who    string
	what   event.Payload
	want   string
}

func run(t *testing.T, cases []foldCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.before == nil {
				tc.before = &log{}
			}
			s := stateOf(tc.have)
			foldAll(t, s, tc.before.commands)
			c := command(99, tc.who, tc.what)
			if got := foldAll(t, s, []ledger.Command{c})[0]; got != tc.want {
				t.Fatalf("%s %s: %s, want %s", tc.who, c.Type, got, tc.want)
			}
			if tc.want != "applied" {
				without := stateOf(tc.have)
				foldAll(t, without, tc.before.commands)
				changesButTheJournal(t, without.Changes(), s.Changes())
			}
		})
	}
}

// changesButTheJournal holds a rejection to invariant 2: it adds one entry without money, and perhaps to the count of
// the wallet's entries.
func changesButTheJournal(t *testing.T, without, with ledger.Changes) {
	t.Helper()
	last := with.Entries[len(with.Entries)-1]
	if len(with.Entries) != len(without.Entries)+1 || last.Outcome != ledger.Rejected || last.Amount != 0 || last.Fee != 0 || last.Leg != 0 {
		t.Errorf("the rejection left the entry %+v", last)
	}
	nothingElse := cmp.Options{
		cmpopts.IgnoreFields(ledger.Changes{}, "Entries", "Moved"),
		cmpopts.IgnoreFields(ledger.Account{}, "EntryCount"),
		cmpopts.IgnoreUnexported(ledger.Account{}, ledger.Quote{}),
	}
	if diff := cmp.Diff(without, with, nothingElse); diff != "" {
		t.Errorf("the rejection changed (-without +with):\n%s", diff)
	}
	balances := func(c ledger.Changes) map[string]int64 {
		m := map[string]int64{}
		for _, a := range c.Moved {
			if a.Npub != last.Subject {
				m[a.Npub] = a.Balance
			}
		}
		return m
	}
	if diff := cmp.Diff(balances(without), balances(with)); diff != "" {
		t.Errorf("the rejection moved the money of others (-without +with):\n%s", diff)
	}
}

func TestEveryEventOfAWalletNeedsTheWallet(t *testing.T) {
	for _, p := range []event.Payload{
		event.WalletUpdated{},
		event.WalletAccessKeyRotated{},
		event.WalletNWCRotated{NWCSecret: "taken"},
		event.FundsCredited{Amount: event.MaxAmount},
		event.FundsDebited{Amount: 1},
		event.FundsTransferred{To: "nobody", Amount: 1},
		event.QuoteCreated{Quote: "taken"},
		event.QuotePaid{Quote: "taken"},
	} {
		run(t, []foldCase{{
			name: typeOf(p),
			have: []given{
				wallet("alice", 10),
				quote(ledger.Quote{ID: 1, Npub: "alice", Quote: "taken", Amount: 1}),
				func(s *ledger.State) { s.AddSecret("taken", "alice") },
			},
			who: "stranger", what: p, want: "unknown_wallet",
		}})
	}
}

func TestRecordsOfWhatWasSeen(t *testing.T) {
	nonce := event.NonceUsed{RequesterPubkey: "pk", Flow: "pay", Nonce: "n", RequesterTS: 5}
	offer := event.OfferOpened{Nonce: "n", Nauth: "a", Host: "h"}
	usedNonce := func(s *ledger.State) {
		s.AddNonce(ledger.Nonce{RequesterPubkey: "pk", Flow: "pay", Nonce: "n"})
	}
	run(t, []foldCase{
		{name: "an NWC event is seen once", who: "alice", what: event.NWCReceived{EventID: "e"}, want: "applied"},
		{
			name: "an NWC event that the database has is seen", who: "alice", what: event.NWCReceived{EventID: "e"}, want: "nwc_event_seen",
			have: []given{func(s *ledger.State) { s.AddNWCEvent("e") }},
		},
		{
			name: "an NWC event of this batch is seen, whoever has it", who: "bob", what: event.NWCReceived{EventID: "e"}, want: "nwc_event_seen",
			before: (&log{}).add("alice", event.NWCReceived{EventID: "e"}),
		},
		{name: "a nonce is used once", who: "pk", what: nonce, want: "applied"},
		{name: "a nonce that the database has is used", who: "pk", what: nonce, want: "nonce_used", have: []given{usedNonce}},
		{name: "a nonce of this batch is used", who: "pk", what: nonce, want: "nonce_used", before: (&log{}).add("pk", nonce)},
		{
			name: "a nonce is another in another flow", who: "pk", want: "applied", have: []given{usedNonce},
			what: event.NonceUsed{RequesterPubkey: "pk", Flow: "login", Nonce: "n"},
		},
		{
			name: "a nonce is another for another requester", who: "other", want: "applied", have: []given{usedNonce},
			what: event.NonceUsed{RequesterPubkey: "other", Flow: "pay", Nonce: "n"},
		},
		{name: "an offer is opened once", who: "n", what: offer, want: "applied", have: []given{usedNonce}},
		{
			name: "an offer that the database has is there", who: "n", what: offer, want: "nonce_used",
			have: []given{func(s *ledger.State) { s.AddOffer("n") }},
		},
		{name: "an offer of this batch is there", who: "n", what: offer, want: "nonce_used", before: (&log{}).add("n", offer)},
	})
}

func TestRates(t *testing.T) {
	at := func(after time.Duration) event.CurrencyQuoted {
		return event.CurrencyQuoted{Rate: 2, RefreshedAt: noon.Add(after)}
	}
	have := func(refreshed time.Time) []given {
		return []given{func(s *ledger.State) { s.AddRate(ledger.Rate{Code: "EUR", Rate: 1, RefreshedAt: refreshed}) }}
	}
	run(t, []foldCase{
		{name: "a currency must be known", who: "XXX", what: at(0), want: "unknown_currency", have: have(noon)},
		{name: "the first rate of a currency is taken", who: "EUR", what: at(0), want: "applied", have: have(time.Time{})},
		{name: "a newer rate is taken", who: "EUR", what: at(time.Microsecond), want: "applied", have: have(noon)},
		{name: "a rate of the same moment is stale", who: "EUR", what: at(0), want: "stale_rate", have: have(noon)},
		{name: "an older rate is stale", who: "EUR", what: at(-time.Microsecond), want: "stale_rate", have: have(noon)},
		{
			name: "a rate is stale beside a newer one of the batch", who: "EUR", what: at(time.Second), want: "stale_rate", have: have(noon),
			before: (&log{}).add("EUR", at(time.Minute)),
		},
	})
}

type foreign struct{ event.Payload }

func TestWhatTheCatalogueDoesNotHaveIsAnErrorAndChangesNothing(t *testing.T) {
	for name, p := range map[string]event.Payload{"no payload": nil, "a payload of another kind": foreign{}} {
		for _, who := range []string{"alice", "stranger"} {
			t.Run(name+" for "+who, func(t *testing.T) {
				s := stateOf([]given{wallet("alice", 1)})
				if out, err := s.Fold(command(1, who, p)); err == nil {
					t.Fatalf("Fold = %v, want an error", out)
				}
				if diff := cmp.Diff(ledger.Changes{}, s.Changes()); diff != "" {
					t.Errorf("it changed:\n%s", diff)
				}
			})
		}
	}
}

func TestSkipJournalsARejectionAndNothingElse(t *testing.T) {
	s := stateOf([]given{wallet("alice", 5, counted(2)), func(s *ledger.State) { s.AddRate(ledger.Rate{Code: "EUR"}) }})
	for i, c := range []ledger.Command{
		command(1, "alice", event.FundsCredited{Amount: 1}),
		command(2, "stranger", event.FundsCredited{Amount: 1}),
		command(3, "alice", nil), // an event that could not be decoded
		command(4, "EUR", event.CurrencyQuoted{Rate: 1, RefreshedAt: noon}),
	} {
		if out := s.Skip(c); out != (ledger.Outcome{Kind: ledger.Rejected, Reason: ledger.Skipped}) {
			t.Errorf("skip %d = %+v", i, out)
		}
	}
	entry := func(position int64, subject, typ string, seq, balance int64) ledger.Entry {
		return ledger.Entry{
			Partition: 7, Position: position, Subject: subject, Seq: seq, Type: typ,
			Outcome: ledger.Rejected, Reason: "skipped", Balance: balance, At: noon,
		}
	}
	c := s.Changes()
	if diff := cmp.Diff([]ledger.Entry{
		entry(1, "alice", event.TypeFundsCredited, 3, 5),
		entry(2, "stranger", event.TypeFundsCredited, 0, 0),
		entry(3, "alice", typeOf(nil), 4, 5),
		entry(4, "EUR", event.TypeCurrencyQuoted, 0, 0),
	}, c.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if len(c.Moved) != 1 || c.Moved[0].Balance != 5 || c.Moved[0].EntryCount != 4 || len(c.Rates) != 0 {
		t.Errorf("changes: %+v", c)
	}
}
