package ledger_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

const most = event.MaxAmount

func TestFunds(t *testing.T) {
	credit := func(amount int64) event.FundsCredited { return event.FundsCredited{Amount: amount} }
	debit := func(amount, fee int64) event.FundsDebited { return event.FundsDebited{Amount: amount, Fee: fee} }
	give := func(to string, amount, fee int64) event.FundsTransferred {
		return event.FundsTransferred{To: to, Amount: amount, Fee: fee}
	}
	poor, rich := wallet("alice", 10), wallet("alice", most)
	run(t, []foldCase{
		{name: "a credit is taken", have: []given{poor}, who: "alice", what: credit(1), want: "applied"},
		{name: "a credit up to the largest balance is taken", have: []given{poor}, who: "alice", what: credit(most - 10), want: "applied"},
		{name: "a credit beyond the largest balance overflows", have: []given{poor}, who: "alice", what: credit(most - 9), want: "balance_overflow"},
		{name: "the largest credit is taken by an empty wallet", have: []given{wallet("alice", 0)}, who: "alice", what: credit(most), want: "applied"},
		{name: "nothing more fits into a full wallet", have: []given{rich}, who: "alice", what: credit(1), want: "balance_overflow"},
		{
			name: "a wallet of this batch is credited", who: "bob", what: credit(5), want: "applied",
			before: (&log{}).add("bob", registered("bob")),
		},
		{
			name: "a wallet whose registration was rejected is not there", have: []given{poor}, who: "bob", what: credit(5), want: "unknown_wallet",
			before: (&log{}).add("bob", registered("bob", withHandle("@alice"))),
		},

		{name: "a debit of the whole balance is taken", have: []given{poor}, who: "alice", what: debit(10, 0), want: "applied"},
		{name: "a debit of the whole balance with its fee is taken", have: []given{poor}, who: "alice", what: debit(9, 1), want: "applied"},
		{name: "a debit of more than the balance is refused", have: []given{poor}, who: "alice", what: debit(11, 0), want: "insufficient_funds"},
		{name: "a debit whose fee is not covered is refused", have: []given{poor}, who: "alice", what: debit(10, 1), want: "insufficient_funds"},
		{name: "the largest amount with the largest fee is refused", have: []given{rich}, who: "alice", what: debit(most, most), want: "insufficient_funds"},
		{
			name: "a debit sees what the batch credited", have: []given{poor}, who: "alice", what: debit(11, 0), want: "applied",
			before: (&log{}).add("alice", credit(1)),
		},
		{
			name: "a debit sees what the batch debited", have: []given{poor}, who: "alice", what: debit(10, 0), want: "insufficient_funds",
			before: (&log{}).add("alice", debit(1, 0)),
		},

		{name: "a transfer of the whole balance is taken", have: []given{poor, wallet("bob", 0)}, who: "alice", what: give("bob", 9, 1), want: "applied"},
		{name: "a transfer first asks for the payee", have: []given{poor}, who: "alice", what: give("bob", most, most), want: "unknown_payee"},
		{name: "then for the money", have: []given{poor}, who: "alice", what: give("alice", 11, 0), want: "insufficient_funds"},
		{name: "then whether payer and payee are one", have: []given{poor}, who: "alice", what: give("alice", 10, 0), want: "self_transfer"},
		{name: "a full wallet that pays itself does not overflow", have: []given{rich}, who: "alice", what: give("alice", 1, 0), want: "self_transfer"},
		{name: "and last for room in the payee's wallet", have: []given{poor, wallet("bob", most-4)}, who: "alice", what: give("bob", 5, 0), want: "balance_overflow"},
		{name: "a transfer that fills the payee's wallet is taken", have: []given{poor, wallet("bob", most-5)}, who: "alice", what: give("bob", 5, 5), want: "applied"},
		{
			name: "a payee of this batch is paid", have: []given{poor}, who: "alice", what: give("bob", 1, 0), want: "applied",
			before: (&log{}).add("bob", registered("bob")),
		},
		{
			name: "a payee may pass it on in the same batch", have: []given{poor, wallet("bob", 0)}, who: "bob", what: give("alice", 10, 0), want: "applied",
			before: (&log{}).add("alice", give("bob", 10, 0)),
		},
	})
}

func TestQuotes(t *testing.T) {
	paid := event.QuotePaid{Quote: "q"}
	create := event.QuoteCreated{Quote: "q", Amount: 5, Mint: "m"}
	alice, bob := wallet("alice", 0), wallet("bob", 0)
	mine := ledger.Quote{ID: 1, Npub: "alice", Handle: "@alice", Quote: "q", Amount: 5}
	settled := mine
	settled.Paid = true
	older := ledger.Quote{ID: 2, Handle: "@alice", Quote: "q", Amount: 7} // from before the events: without an npub
	olderPaid := ledger.Quote{ID: 3, Handle: "@alice", Quote: "q", Amount: 7, Paid: true}
	run(t, []foldCase{
		{name: "a quote is created", have: []given{alice}, who: "alice", what: create, want: "applied"},
		{name: "a quote that the database has is taken", have: []given{alice, quote(mine)}, who: "alice", what: create, want: "quote_taken"},
		{name: "a quote of another is taken", have: []given{alice, bob, quote(mine)}, who: "bob", what: create, want: "quote_taken"},
		{name: "a quote from before the events is taken", have: []given{alice, quote(older)}, who: "alice", what: create, want: "quote_taken"},
		{name: "a quote of this batch is taken", have: []given{alice, bob}, who: "bob", what: create, want: "quote_taken", before: (&log{}).add("alice", create)},

		{name: "a quote is paid", have: []given{alice, quote(mine)}, who: "alice", what: paid, want: "applied"},
		{name: "a quote of this batch is paid", have: []given{alice}, who: "alice", what: paid, want: "applied", before: (&log{}).add("alice", create)},
		{name: "a quote must be there", have: []given{alice}, who: "alice", what: paid, want: "unknown_quote"},
		{name: "a quote of another is unknown", have: []given{alice, bob, quote(mine)}, who: "bob", what: paid, want: "unknown_quote"},
		{name: "a quote is paid once", have: []given{alice, quote(settled)}, who: "alice", what: paid, want: "quote_paid"},
		{
			name: "a quote is paid once in its batch", have: []given{alice, quote(mine)}, who: "alice", what: paid, want: "quote_paid",
			before: (&log{}).add("alice", paid),
		},
		{name: "a paid quote of another is unknown all the same", have: []given{bob, quote(settled)}, who: "bob", what: paid, want: "unknown_quote"},

		{name: "the handle owns a quote from before the events", have: []given{alice, quote(older)}, who: "alice", what: paid, want: "applied"},
		{name: "another handle does not", have: []given{bob, quote(older)}, who: "bob", what: paid, want: "unknown_quote"},
		{
			name: "the npub decides where there is one, not the handle", have: []given{alice, bob, quote(ledger.Quote{ID: 1, Npub: "bob", Handle: "@alice", Quote: "q", Amount: 5})},
			who: "alice", what: paid, want: "unknown_quote",
		},
		{name: "a paid row does not stand before an unpaid one", have: []given{alice, quote(olderPaid), quote(older)}, who: "alice", what: paid, want: "applied"},
		{
			name: "a repeated quote is paid as often as it is there", have: []given{alice, quote(older), quote(older)}, who: "alice", what: paid, want: "applied",
			before: (&log{}).add("alice", paid),
		},
		{
			name: "and not more often", have: []given{alice, quote(older), quote(older)}, who: "alice", what: paid, want: "quote_paid",
			before: (&log{}).add("alice", paid).add("alice", paid),
		},
		{name: "a quote of nothing from before the events is paid", have: []given{alice, quote(ledger.Quote{ID: 4, Handle: "@alice", Quote: "q"})}, who: "alice", what: paid, want: "applied"},
	})
}

func TestAQuoteThatDoesNotFitIsARangeErrorAndChangesNothing(t *testing.T) {
	for name, tc := range map[string]struct{ balance, amount int64 }{
		"one sat too much":             {most - 4, 5},
		"far too much":                 {most, most},
		"more than the ledger can add": {most, 1<<63 - 1},
		"less than nothing":            {5, -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateOf([]given{wallet("alice", tc.balance), quote(ledger.Quote{ID: 1, Npub: "alice", Quote: "q", Amount: tc.amount})})
			out, err := s.Fold(command(1, "alice", event.QuotePaid{Quote: "q"}))
			var rangeError *ledger.RangeError
			if !errors.As(err, &rangeError) || rangeError.Subject != "alice" {
				t.Fatalf("Fold = %+v, %v; want a *RangeError of alice", out, err)
			}
			if diff := cmp.Diff(ledger.Changes{}, s.Changes()); diff != "" {
				t.Errorf("it changed:\n%s", diff)
			}
		})
	}
}

func TestAQuoteFitsAgainWhenThereIsRoom(t *testing.T) {
	s := stateOf([]given{wallet("alice", most), quote(ledger.Quote{ID: 1, Npub: "alice", Quote: "q", Amount: 5})})
	pay := command(2, "alice", event.QuotePaid{Quote: "q"})
	if _, err := s.Fold(pay); err == nil {
		t.Fatal("a full wallet took a quote")
	}
	got := foldAll(t, s, []ledger.Command{command(1, "alice", event.FundsDebited{Amount: 5}), pay})
	if diff := cmp.Diff([]string{"applied", "applied"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := s.Changes(); c.Moved[0].Balance != most || len(c.Settled) != 1 {
		t.Errorf("balance %d, settled %d quotes", c.Moved[0].Balance, len(c.Settled))
	}
}
