package ledger_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func mustProcess(t *rapid.T, m *memory, batch []ledger.Command) []string {
	outcomes, err := m.process(batch)
	if err != nil {
		t.Fatalf("storing a batch of %d: %v", len(batch), err)
	}
	return outcomes
}

func same(t *rapid.T, what string, want, got any) {
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func TestFoldAgreesWithThePlainReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, commands := pool{}.tables(t), pool{}.commands(t, 7)
		r := reference{start.clone()}
		var want []string
		for _, c := range commands {
			want = append(want, r.handle(c))
		}
		m := start.clone()
		same(t, "outcomes", want, mustProcess(t, m, commands))
		same(t, "tables", r.tables, m)
	})
}

func TestBatchesOfAnySizeComeToTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, commands := pool{}.tables(t), pool{}.commands(t, 7)
		whole := start.clone()
		want := mustProcess(t, whole, commands)
		parts := start.clone()
		var got []string
		for rest := commands; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			got = append(got, mustProcess(t, parts, rest[:n])...)
			rest = rest[n:]
		}
		same(t, "outcomes", want, got)
		same(t, "tables", whole, parts)
	})
}

func TestFoldIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, commands := pool{}.tables(t), pool{}.commands(t, 7)
		one, other := start.clone().load(ledger.KeysOf(commands)), start.clone().load(ledger.KeysOf(commands))
		for _, c := range commands {
			a, errA := one.Fold(c)
			b, errB := other.Fold(c)
			if a != b || (errA == nil) != (errB == nil) {
				t.Fatalf("position %d: %v, %v and %v, %v", c.Position, a, errA, b, errB)
			}
		}
		same(t, "changes", one.Changes(), other.Changes())
	})
}

func TestMoneyIsConservedAndStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, commands := pool{}.tables(t), pool{}.commands(t, 7)
		mustProcess(t, m, commands)
		last, count, total := map[string]int64{}, map[string]int64{}, int64(0)
		for _, w := range m.Wallets {
			last[w.Npub] = w.OpeningBalance
			total += w.Balance - w.OpeningBalance
			if w.Balance < 0 || w.Balance > event.MaxAmount {
				t.Fatalf("%s has a balance of %d", w.Npub, w.Balance)
			}
		}
		legs := map[int64]int{}
		for _, e := range m.Entries {
			total -= e.Amount - e.Fee
			if e.Leg != legs[e.Position] || e.Leg > 1 || e.Leg == 1 && (e.Type != event.TypeFundsTransferred || e.Outcome != ledger.Applied) {
				t.Fatalf("entry %+v is no leg of its event", e)
			}
			legs[e.Position]++
			if e.Seq == 0 {
				continue
			}
			count[e.Subject]++
			if e.Seq != count[e.Subject] || e.Balance != last[e.Subject]+e.Amount-e.Fee || e.Fee < 0 {
				t.Fatalf("entry %+v does not follow entry %d with a balance of %d", e, count[e.Subject]-1, last[e.Subject])
			}
			last[e.Subject] = e.Balance
		}
		if total != 0 {
			t.Fatalf("balances changed by %d sats more than the entries say", total)
		}
		for _, w := range m.Wallets {
			if w.Balance != last[w.Npub] || w.EntryCount != count[w.Npub] {
				t.Fatalf("%s has %d sats and %d entries; its entries say %d and %d", w.Npub, w.Balance, w.EntryCount, last[w.Npub], count[w.Npub])
			}
		}
	})
}

func TestWhatIsNotAppliedChangesNothingButTheJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, commands := pool{}.tables(t), pool{}.commands(t, 7)
		for _, c := range commands {
			before := m.clone()
			outcome := mustProcess(t, m, []ledger.Command{c})[0]
			after := m.clone()
			switch outcome {
			case "applied":
				continue
			case "parked":
				same(t, "tables", before, after)
				continue
			}
			if n := len(before.Entries); len(after.Entries) != n+1 || after.Entries[n].Reason != outcome {
				t.Fatalf("position %d: %s left %d entries", c.Position, outcome, len(after.Entries)-n)
			}
			for i := range before.Wallets {
				if before.Wallets[i].Npub == c.Subject {
					before.Wallets[i].EntryCount = after.Wallets[i].EntryCount
				}
			}
			after.Entries = before.Entries
			same(t, outcome, before, after)
		}
	})
}

func TestWalletsThatShareNothingMayInterleaveInAnyWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left, right := pool{"left "}, pool{"right "}
		start := left.tables(t)
		add(start, right.tables(t))
		one, other := left.commands(t, 1), right.commands(t, 2)

		sequel := start.clone()
		mustProcess(t, sequel, slices.Concat(one, other))

		var mixed []ledger.Command
		for len(one)+len(other) > 0 {
			from := &one
			if len(one) == 0 || len(other) > 0 && rapid.Bool().Draw(t, "the other") {
				from = &other
			}
			mixed = append(mixed, (*from)[0])
			*from = (*from)[1:]
		}
		interleaved := start.clone()
		mustProcess(t, interleaved, mixed)

		same(t, "tables", sorted(sequel), sorted(interleaved))
	})
}

// add puts tables beside others that share no value with them.
func add(m, more *memory) {
	for _, w := range more.Wallets {
		w.ID = int64(len(m.Wallets) + 1)
		m.Wallets = append(m.Wallets, w)
	}
	for _, q := range more.Quotes {
		q.ID = int64(len(m.Quotes) + 1)
		m.Quotes = append(m.Quotes, q)
	}
	m.Secrets = append(m.Secrets, more.Secrets...)
	m.Rates = append(m.Rates, more.Rates...)
}

// sorted puts the rows into an order that does not depend on when they were inserted.
func sorted(m *memory) *memory {
	slices.SortFunc(m.Wallets, func(a, b ledger.Account) int { return slices.Compare([]string{a.Npub}, []string{b.Npub}) })
	for i := range m.Wallets {
		m.Wallets[i].ID = 0
	}
	for i := range m.Quotes { // rows from before the events keep their order; the others have names of their own
		if m.Quotes[i].Npub != "" {
			m.Quotes[i].ID = 0
		}
	}
	slices.SortStableFunc(m.Quotes, func(a, b ledger.Quote) int {
		return slices.Compare([]string{a.Npub, a.Quote}, []string{b.Npub, b.Quote})
	})
	slices.Sort(m.NWCEvents)
	nonce := func(u ledger.NonceUse) []string { return []string{u.RequesterPubkey, u.Flow, u.Nonce.Nonce} }
	slices.SortFunc(m.Nonces, func(a, b ledger.NonceUse) int { return slices.Compare(nonce(a), nonce(b)) })
	slices.SortFunc(m.Offers, func(a, b ledger.Offer) int { return slices.Compare([]string{a.Nonce}, []string{b.Nonce}) })
	slices.SortStableFunc(m.Entries, func(a, b ledger.Entry) int { return a.Partition - b.Partition })
	return m
}
