package ledger

import (
	"fmt"

	"github.com/safebox/safebox/worker/event"
)

// Reason says why an event was rejected; the values are those of the catalogue.
type Reason string

// The reasons of the catalogue. Skipped is the one that no event earns by itself: an operator gave it.
const (
	UnknownWallet      Reason = "unknown_wallet"
	UnknownPayee       Reason = "unknown_payee"
	UnknownQuote       Reason = "unknown_quote"
	UnknownCurrency    Reason = "unknown_currency"
	NpubTaken          Reason = "npub_taken"
	HandleTaken        Reason = "handle_taken"
	CustomHandleTaken  Reason = "custom_handle_taken"
	AccessKeyTaken     Reason = "access_key_taken"
	EmergencyCodeTaken Reason = "emergency_code_taken"
	NWCSecretTaken     Reason = "nwc_secret_taken"
	QuoteTaken         Reason = "quote_taken"
	QuoteAlreadyPaid   Reason = "quote_paid"
	InsufficientFunds  Reason = "insufficient_funds"
	SelfTransfer       Reason = "self_transfer"
	BalanceOverflow    Reason = "balance_overflow"
	NWCEventSeen       Reason = "nwc_event_seen"
	NonceUsedBefore    Reason = "nonce_used"
	StaleRate          Reason = "stale_rate"
	Skipped            Reason = "skipped"
)

// Outcome is how an event ended: applied, or rejected for a reason.
type Outcome struct {
	Kind   OutcomeKind
	Reason Reason // "" when applied
}

// RangeError says that an event cannot be processed because a value leaves the range that the ledger can hold, and the
// catalogue has no reason to reject it for. Such an event is parked.
type RangeError struct {
	Subject string
	Detail  string
}

func (e *RangeError) Error() string { return fmt.Sprintf("wallet %s: %s", e.Subject, e.Detail) }

// AwaitError says that a transfer has to wait for the registration of its payee, which stands before it in the log, in
// another partition, and is not processed yet. To reject the transfer would contradict what both senders were told.
//
// Such waits never form a circle: a wait goes to an earlier append, and positions grow with the appends inside a partition.
type AwaitError struct{ Payee string }

func (e *AwaitError) Error() string {
	return fmt.Sprintf("the registration of the payee %s is not processed yet", e.Payee)
}

// Transient says that the same transfer will go through later.
func (e *AwaitError) Transient() bool { return true }

// Reason names the wait where retries are counted by reason.
func (e *AwaitError) Reason() string { return "payee" }

// effect is what an applied command does to the wallets' money: decided first, written to the journal afterwards.
type effect struct {
	amount, fee int64    // leg 0: amount is signed
	payee       *Account // leg 1, where there is one: receives −amount
	wanted      int64    // of a command that is rejected for it: the balance that it would have taken
}

// Fold applies the next command of the batch to the state and writes its entry. The commands of a subject must come in
// the order of the log. An error means that the command cannot be processed; the state is then as it was.
func (s *State) Fold(c Command) (Outcome, error) {
	eff, reason, err := s.apply(c)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Kind: Applied}
	if reason != "" {
		out, eff = Outcome{Rejected, reason}, effect{wanted: eff.wanted}
	}
	s.journal(c, out, eff)
	return out, nil
}

// Skip writes the entry of a command that an operator decided not to process.
func (s *State) Skip(c Command) Outcome {
	out := Outcome{Rejected, Skipped}
	s.journal(c, out, effect{})
	return out
}

func (s *State) journal(c Command, out Outcome, eff effect) {
	e := Entry{
		Partition: c.Partition, Position: c.Position, Subject: c.Subject, Type: c.Type,
		Outcome: out.Kind, Reason: string(out.Reason), Amount: eff.amount, Fee: eff.fee, At: c.Time, Wanted: eff.wanted,
	}
	if a := s.accounts[c.Subject]; a != nil && subjectIsWallet(c.Payload) {
		e.Seq, e.Balance = a.next(), a.Balance
	}
	s.changes.Entries = append(s.changes.Entries, e)
	if p := eff.payee; p != nil {
		e.Leg, e.Subject, e.Amount, e.Fee, e.Seq, e.Balance = 1, p.Npub, -eff.amount, 0, p.next(), p.Balance
		s.changes.Entries = append(s.changes.Entries, e)
	}
}

func (a *Account) next() int64 {
	a.EntryCount++
	a.moved = true
	return a.EntryCount
}

func subjectIsWallet(p event.Payload) bool {
	switch p.(type) {
	case event.NonceUsed, event.OfferOpened, event.CurrencyQuoted:
		return false
	default:
		return true
	}
}

// apply decides and, when nothing stands against it, changes the state: every check comes before the first change.
func (s *State) apply(c Command) (effect, Reason, error) {
	switch p := c.Payload.(type) {
	case event.WalletRegistered:
		return effect{}, s.register(p), nil
	case event.NWCReceived:
		return effect{}, s.receiveNWC(p), nil
	case event.NonceUsed:
		return effect{}, s.useNonce(c, p), nil
	case event.OfferOpened:
		return effect{}, s.openOffer(c, p), nil
	case event.CurrencyQuoted:
		return effect{}, s.quoteCurrency(c, p), nil
	}
	a := s.accounts[c.Subject]
	if a == nil {
		if !known(c.Payload) {
			return effect{}, "", fmt.Errorf("no rule for an event of type %q with payload %T", c.Type, c.Payload)
		}
		return effect{}, UnknownWallet, nil
	}
	switch p := c.Payload.(type) {
	case event.WalletUpdated:
		return effect{}, s.update(a, p), nil
	case event.WalletAccessKeyRotated:
		return effect{}, s.rotateAccessKey(a, p), nil
	case event.WalletNWCRotated:
		return effect{}, s.rotateNWC(a, p), nil
	case event.QuoteCreated:
		return effect{}, s.createQuote(a, p), nil
	case event.QuotePaid:
		return s.payQuote(a, p)
	case event.FundsCredited:
		eff, reason := credit(a, p)
		return eff, reason, nil
	case event.FundsDebited:
		eff, reason := debit(a, p)
		return eff, reason, nil
	case event.FundsTransferred:
		return s.transfer(c, a, p)
	default:
		return effect{}, "", fmt.Errorf("no rule for an event of type %q with payload %T", c.Type, c.Payload)
	}
}

func known(p event.Payload) bool {
	switch p.(type) {
	case event.WalletUpdated, event.WalletAccessKeyRotated, event.WalletNWCRotated, event.QuoteCreated, event.QuotePaid,
		event.FundsCredited, event.FundsDebited, event.FundsTransferred:
		return true
	default:
		return false
	}
}
