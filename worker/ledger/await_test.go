package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// transferTo is a transfer that alice makes at noon, as the log recorded it.
func transferTo(to string) ledger.Command {
	c := command(3, "alice", event.FundsTransferred{To: to, Amount: 5})
	c.RecordedAt = noon
	return c
}

func awaited(npub string, recorded time.Time) given {
	return func(s *ledger.State) { s.AddAwaited(npub, recorded) }
}

func TestATransferWaitsForARegistrationThatStandsBeforeIt(t *testing.T) {
	s := stateOf([]given{wallet("alice", 10), awaited("bob", noon.Add(-time.Microsecond))})
	out, err := s.Fold(transferTo("bob"))
	var wait *ledger.AwaitError
	if !errors.As(err, &wait) || wait.Payee != "bob" || !wait.Transient() {
		t.Fatalf("Fold = %+v, %v; want a transient *AwaitError for bob", out, err)
	}
	if diff := cmp.Diff(ledger.Changes{}, s.Changes()); diff != "" {
		t.Errorf("it changed:\n%s", diff)
	}
}

func TestATransferDoesNotWaitInVain(t *testing.T) {
	before := noon.Add(-time.Minute)
	for name, tc := range map[string]struct {
		have   []given
		before []ledger.Command
		to     string
		want   string
	}{
		"for a registration that stands behind it": {
			have: []given{wallet("alice", 10), awaited("bob", noon.Add(time.Microsecond))}, to: "bob", want: "unknown_payee",
		},
		"for a registration of its own moment": {
			have: []given{wallet("alice", 10), awaited("bob", noon)}, to: "bob", want: "unknown_payee",
		},
		"for a registration that came in its own batch": {
			have: []given{wallet("alice", 10), awaited("bob", before)}, before: []ledger.Command{command(1, "bob", registered("bob"))},
			to: "bob", want: "applied",
		},
		"for the payee of another": {
			have: []given{wallet("alice", 10), awaited("carol", before)}, to: "bob", want: "unknown_payee",
		},
		"where the payer is unknown": {have: []given{awaited("bob", before)}, to: "bob", want: "unknown_wallet"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateOf(tc.have)
			foldAll(t, s, tc.before)
			if got := foldAll(t, s, []ledger.Command{transferTo(tc.to)})[0]; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestMissingNamesThePayeesThatAreNoWallets(t *testing.T) {
	s := stateOf([]given{wallet("alice", 1), wallet("carol", 1)})
	if diff := cmp.Diff([]string{"bob", "dave"}, s.Missing([]string{"alice", "bob", "carol", "dave"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
