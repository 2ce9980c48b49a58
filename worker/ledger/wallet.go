package ledger

import "time"

// Wallet is a row of registeredsafebox as people may read it: its secrets are left out.
type Wallet struct {
	Npub           string  `json:"npub"`
	Handle         string  `json:"handle"`
	CustomHandle   *string `json:"custom_handle,omitempty"`
	Owner          *string `json:"owner,omitempty"`
	HomeRelay      string  `json:"home_relay"`
	CurrencyCode   *string `json:"currency_code,omitempty"`
	Balance        int64   `json:"balance"`         // sats
	OpeningBalance int64   `json:"opening_balance"` // sats it had when the database was adopted
	EntryCount     int64   `json:"entry_count"`     // the last Seq of its entries
}

// OutcomeKind is how an event ended.
type OutcomeKind string

// The outcomes that a fold can reach. An event that cannot be processed is parked, which is no outcome of the fold.
const (
	Applied  OutcomeKind = "applied"
	Rejected OutcomeKind = "rejected"
)

// Entry is a line of the journal: what an event did to one subject.
type Entry struct {
	Partition int         `json:"partition"`
	Position  int64       `json:"position"`
	Leg       int         `json:"leg"` // 0 is the subject of the event, 1 the payee of a transfer
	Subject   string      `json:"subject"`
	Seq       *int64      `json:"seq"` // 1, 2, 3 … in a wallet; null where the subject is no wallet
	Type      string      `json:"type"`
	Outcome   OutcomeKind `json:"outcome"`
	Reason    string      `json:"reason,omitempty"`
	Amount    int64       `json:"amount"` // sats, signed
	Fee       int64       `json:"fee"`    // sats, never negative
	Balance   int64       `json:"balance"`
	At        time.Time   `json:"at"`
}

// Audit is what safebox audit found. The sums are sats.
type Audit struct {
	OK              bool             `json:"ok"`
	Events          int64            `json:"events"`  // in the log
	Pending         int64            `json:"pending"` // after the group's cursors
	Applied         int64            `json:"applied"`
	Rejected        int64            `json:"rejected"`
	Parked          int64            `json:"parked"`
	Reasons         map[string]int64 `json:"reasons"` // rejected events by reason
	Wallets         int64            `json:"wallets"`
	Entries         int64            `json:"entries"`
	BalanceTotal    int64            `json:"balance_total"`
	OpeningTotal    int64            `json:"opening_total"`
	CreditTotal     int64            `json:"credit_total"`
	DebitTotal      int64            `json:"debit_total"` // positive
	FeeTotal        int64            `json:"fee_total"`
	Findings        []Finding        `json:"findings"` // at most 1,000, none when OK
	FindingsOmitted int64            `json:"findings_omitted"`
}

// Finding is a breach of one of the ledger's invariants.
type Finding struct {
	Check   string `json:"check"`   // which invariant
	Subject string `json:"subject"` // the wallet, or where in the log
	Detail  string `json:"detail"`
}
