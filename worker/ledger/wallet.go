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
	Seq       int64       `json:"seq,omitempty"` // 1, 2, 3 … in a wallet; 0 where the subject is no wallet
	Type      string      `json:"type"`
	Outcome   OutcomeKind `json:"outcome"`
	Reason    string      `json:"reason,omitempty"`
	Amount    int64       `json:"amount"` // sats, signed
	Fee       int64       `json:"fee"`    // sats, never negative
	Balance   int64       `json:"balance"`
	At        time.Time   `json:"at"`

	// Wanted is the balance, in sats, for want of which the event was rejected with InsufficientFunds; else 0. It is not
	// stored: a Tx that did not lock the wallet at the load refuses to store such an entry where the balance is enough by now.
	Wanted int64 `json:"-"`
}
