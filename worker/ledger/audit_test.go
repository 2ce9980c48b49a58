package ledger_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/ledger"
)

// sound are figures that agree with one another.
func sound() ledger.Audit {
	a := ledger.Audit{
		Events: 10, Pending: 2, Parked: 1, BalanceTotal: ledger.Sats(70), OpeningTotal: ledger.Sats(20),
		CreditTotal: ledger.Sats(100), DebitTotal: ledger.Sats(45), FeeTotal: ledger.Sats(5),
	}
	a.Count(ledger.Applied, "", 4)
	a.Count(ledger.Rejected, "unknown_wallet", 1)
	a.Count(ledger.Rejected, "stale_rate", 1)
	a.Count(ledger.Rejected, "unknown_wallet", 1)
	return a
}

func TestAnAuditIsOKWhenItsFiguresAgree(t *testing.T) {
	a := sound()
	a.Conclude()
	want := ledger.Audit{
		OK: true, Events: 10, Pending: 2, Parked: 1, BalanceTotal: ledger.Sats(70), OpeningTotal: ledger.Sats(20),
		CreditTotal: ledger.Sats(100), DebitTotal: ledger.Sats(45), FeeTotal: ledger.Sats(5),
		Applied: 4, Rejected: 3, Reasons: map[string]int64{"unknown_wallet": 2, "stale_rate": 1}, Findings: []ledger.Finding{},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAuditOfNothingIsOK(t *testing.T) {
	var a ledger.Audit
	a.Conclude()
	if diff := cmp.Diff(ledger.Audit{OK: true, Reasons: map[string]int64{}, Findings: []ledger.Finding{}}, a); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAuditFindsTotalsThatDisagree(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(*ledger.Audit)
		check  string
	}{
		"an event without an end":         {func(a *ledger.Audit) { a.Events++ }, "event_total"},
		"an event that ended twice":       {func(a *ledger.Audit) { a.Parked++ }, "event_total"},
		"a sat too much in the wallets":   {func(a *ledger.Audit) { a.BalanceTotal = a.BalanceTotal.Plus(ledger.Sats(1)) }, "balance_total"},
		"a sat too little in the journal": {func(a *ledger.Audit) { a.FeeTotal = ledger.Sats(6) }, "balance_total"},
	} {
		t.Run(name, func(t *testing.T) {
			a := sound()
			tc.damage(&a)
			a.Conclude()
			if a.OK || len(a.Findings) != 1 || a.Findings[0].Check != tc.check || a.Findings[0].Detail == "" {
				t.Errorf("OK %v, findings %+v; want %s", a.OK, a.Findings, tc.check)
			}
		})
	}
}

func TestAnAuditListsALimitedNumberOfFindings(t *testing.T) {
	a := sound()
	for i := range ledger.MaxFindings {
		a.Find(ledger.Finding{Check: "event_lost", Subject: fmt.Sprint(i)})
	}
	if a.Truncated {
		t.Error("as many findings as are listed are called truncated")
	}
	a.Find(ledger.Finding{Check: "one too many"})
	a.Conclude()
	if !a.Truncated || a.OK || len(a.Findings) != ledger.MaxFindings {
		t.Errorf("truncated %v, OK %v, %d findings", a.Truncated, a.OK, len(a.Findings))
	}
}
