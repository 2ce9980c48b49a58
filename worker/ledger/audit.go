package ledger

import "fmt"

// MaxFindings is the most findings that an audit lists.
const MaxFindings = 1000

// Audit is what an audit found. The sums are sats.
type Audit struct {
	OK           bool             `json:"ok"`
	Events       int64            `json:"events"`  // in the log
	Pending      int64            `json:"pending"` // after the group's cursors
	Applied      int64            `json:"applied"`
	Rejected     int64            `json:"rejected"`
	Parked       int64            `json:"parked"`
	Reasons      map[string]int64 `json:"reasons"` // rejected events by reason
	Wallets      int64            `json:"wallets"`
	Entries      int64            `json:"entries"`
	BalanceTotal Sum              `json:"balance_total"`
	OpeningTotal Sum              `json:"opening_total"`
	CreditTotal  Sum              `json:"credit_total"`
	DebitTotal   Sum              `json:"debit_total"` // positive
	FeeTotal     Sum              `json:"fee_total"`
	Rebuilt      *Rebuilt         `json:"rebuilt,omitempty"` // of a rebuild only
	Findings     []Finding        `json:"findings"`          // at most MaxFindings, none when OK
	Truncated    bool             `json:"truncated"`         // there are more findings than those
}

// Finding is a breach of one of the ledger's invariants.
type Finding struct {
	Check   string `json:"check"`   // which invariant
	Subject string `json:"subject"` // the wallet, or where in the log
	Detail  string `json:"detail"`
}

// Count adds events that ended in one outcome.
func (a *Audit) Count(outcome OutcomeKind, reason string, n int64) {
	if a.Reasons == nil {
		a.Reasons = map[string]int64{}
	}
	if outcome == Applied {
		a.Applied += n
		return
	}
	a.Rejected += n
	a.Reasons[reason] += n
}

// Find adds a finding.
func (a *Audit) Find(f Finding) {
	if len(a.Findings) == MaxFindings {
		a.Truncated = true
		return
	}
	a.Findings = append(a.Findings, f)
}

// Conclude checks the totals against one another and decides whether the audit is OK. It is called once, at the end.
func (a *Audit) Conclude() {
	if a.Reasons == nil {
		a.Reasons = map[string]int64{}
	}
	if a.Findings == nil {
		a.Findings = []Finding{}
	}
	if done := a.Applied + a.Rejected + a.Parked; done+a.Pending != a.Events {
		a.Find(Finding{"event_total", "", fmt.Sprintf("%d events are in the log, but %d were applied, rejected or parked and %d are pending",
			a.Events, done, a.Pending)})
	}
	if made := a.OpeningTotal.Plus(a.CreditTotal).Minus(a.DebitTotal).Minus(a.FeeTotal); !made.Equal(a.BalanceTotal) {
		a.Find(Finding{"balance_total", "", fmt.Sprintf("balances sum to %s sats, but openings + credits − debits − fees to %s",
			a.BalanceTotal, made)})
	}
	a.OK = len(a.Findings) == 0
}
