package ledger_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// transferTo is a transfer that alice makes, at position 3.
func transferTo(to string) ledger.Command {
	return command(3, "alice", event.FundsTransferred{To: to, Amount: 5})
}

func awaited(position int64) given {
	return func(s *ledger.State) { s.AddAwaited(event.Place{Partition: 7, Position: position}) }
}

func TestATransferWaitsForARegistrationThatStandsBeforeIt(t *testing.T) {
	s := stateOf([]given{wallet("alice", 10), awaited(3)})
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
	for name, tc := range map[string]struct {
		have   []given
		before []ledger.Command
		want   string
	}{
		"where another transfer waits": {have: []given{wallet("alice", 10), awaited(4)}, want: "unknown_payee"},
		"for a registration that came in its own batch": {
			have: []given{wallet("alice", 10), awaited(3)}, before: []ledger.Command{command(1, "bob", registered("bob"))}, want: "applied",
		},
		"where the payer is unknown": {have: []given{awaited(3)}, want: "unknown_wallet"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateOf(tc.have)
			foldAll(t, s, tc.before)
			if got := foldAll(t, s, []ledger.Command{transferTo("bob")})[0]; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestUnpayableAreTheTransfersToPayeesThatAreNoWallets(t *testing.T) {
	s := stateOf([]given{wallet("alice", 1), wallet("carol", 1)})
	got := s.Unpayable([]ledger.Transfer{{event.Place{Position: 2}, "alice"}, {event.Place{Position: 4}, "bob"}, {event.Place{Position: 5}, "carol"}, {event.Place{Position: 7}, "dave"}, {event.Place{Position: 9}, "bob"}})
	if diff := cmp.Diff([]ledger.Transfer{{event.Place{Position: 4}, "bob"}, {event.Place{Position: 7}, "dave"}, {event.Place{Position: 9}, "bob"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
