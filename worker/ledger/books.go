package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/safebox/safebox/worker/event"
)

// Books are one snapshot of the log and of what the ledger made of it. A storage backend gives them to an audit.
type Books interface {
	// Lines reads the events of a partition after a position, in order, at most limit, each with the entries it made.
	Lines(ctx context.Context, partition int, after int64, limit int) ([]Line, error)
	// Stored reads what the tables hold of the keys' Quotes, NWCSecrets, NWCEvents, Nonces and Offers.
	Stored(ctx context.Context, k Keys) (*State, error)
	// Wallets lists the wallets by npub, after the given one; at most limit. With adopted it lists only those whose journal
	// does not begin with their registration: they were there before the events, or came past them.
	Wallets(ctx context.Context, after string, limit int, adopted bool) ([]Account, error)
	// Rates lists the currencies.
	Rates(ctx context.Context) ([]Rate, error)
	// Resolved lists the subjects whose parked events an operator retried or skipped.
	Resolved(ctx context.Context) ([]string, error)
}

// A Line is an event of the log with the entries that it made, by leg; none when it is pending or parked.
type Line struct {
	event.Record
	Entries []Entry
	// Sealed says why a secret of the event could not be opened, a *event.SealedError; else nil.
	Sealed error
}

// linesPage is how many events are read at once.
const linesPage = 1000

// keysPage is how many keys are looked up at once.
const keysPage = 500

// Examine holds each event of the log against the entries it made, as far as that takes no state: type, subject, outcome,
// amounts and legs, and of a paid quote the amount that its row has. It reads the log once; its memory does not grow with it.
func (a *Audit) Examine(ctx context.Context, books Books) error {
	for p := range event.Partitions {
		for after := int64(0); ; {
			lines, err := books.Lines(ctx, p, after, linesPage)
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				break
			}
			var paid []Line
			for _, l := range lines {
				if l.check(a.Find) {
					paid = append(paid, l)
				}
			}
			if err := a.examineQuotes(ctx, books, paid); err != nil {
				return err
			}
			after = lines[len(lines)-1].Position
		}
	}
	return nil
}

// check reports what does not fit, and tells whether the line pays a quote, whose amount it does not know.
func (l Line) check(find func(Finding)) (paysQuote bool) {
	if len(l.Entries) == 0 || l.Entries[0].Leg != 0 {
		return false // that it ended, and that nothing else stands for it, is checked elsewhere
	}
	e := l.Entries[0]
	breach := func(check, format string, args ...any) {
		find(Finding{check, l.Subject, l.place() + ": " + fmt.Sprintf(format, args...)})
	}
	if e.Type != l.Type || e.Subject != l.Subject {
		breach("entry_event", "the entry says %q of %s, the event is %q of %s", e.Type, e.Subject, l.Type, l.Subject)
		return false
	}
	var want effect
	var to string
	switch {
	case e.Outcome == Rejected:
		if !slices.Contains(reasonsOf(l.Type), e.Reason) {
			breach("entry_outcome", "an event of this type is not rejected for %q", e.Reason)
		}
		if e.Reason == string(InsufficientFunds) {
			l.checkWant(breach)
		}
	case e.Outcome != Applied || e.Reason != "":
		breach("entry_outcome", "an event does not end as %q with the reason %q", e.Outcome, e.Reason)
	default:
		payload, err := l.decode()
		if l.missesKey() { // what it moved is no secret
			err = nil
		}
		if err != nil {
			breach("entry_outcome", "the entry says that the event was applied, and it cannot be decoded: %v", err)
			return false
		}
		switch p := payload.(type) {
		case event.FundsCredited:
			want.amount = p.Amount
		case event.FundsDebited:
			want.amount, want.fee = -p.Amount, p.Fee
		case event.FundsTransferred:
			want.amount, want.fee, to = -p.Amount, p.Fee, p.To
		case event.QuotePaid:
			paysQuote, want.amount = true, e.Amount
		}
	}
	if e.Amount != want.amount || e.Fee != want.fee {
		breach("entry_amount", "the entry moves %d sats for a fee of %d, the event %d for %d", e.Amount, e.Fee, want.amount, want.fee)
	}
	l.checkPayee(to, -want.amount, breach)
	for _, e := range l.Entries {
		if e.Balance < 0 && e.Amount < e.Fee || e.Balance > event.MaxAmount {
			breach("entry_range", "leg %d leaves a balance of %d, out of 0 … 2^53 − 1", e.Leg, e.Balance)
		}
	}
	return paysQuote
}

// checkWant holds a refusal for want of funds against the balance that stands beside it.
func (l Line) checkWant(breach func(check, format string, args ...any)) {
	payload, err := event.DecodePayload(l.Type, l.Data)
	if err != nil {
		breach("entry_outcome", "the entry says that funds were wanting, and the event cannot be decoded: %v", err)
		return
	}
	var wanted int64
	switch p := payload.(type) {
	case event.FundsDebited:
		wanted = p.Amount + p.Fee
	case event.FundsTransferred:
		wanted = p.Amount + p.Fee
	}
	if e := l.Entries[0]; e.Balance >= wanted {
		breach("entry_refusal", "the event was refused for want of funds, at a balance of %d where it takes %d", e.Balance, wanted)
	}
}

func (l Line) checkPayee(to string, amount int64, breach func(check, format string, args ...any)) {
	switch legs := l.Entries[1:]; {
	case to == "" && len(legs) > 0:
		breach("payee_entry", "there is an entry for a payee, %s, and the event pays nobody", legs[0].Subject)
	case to == "":
	case len(legs) == 0:
		breach("payee_entry", "the payee %s has no entry", to)
	case len(legs) > 1 || legs[0].Leg != 1:
		breach("payee_entry", "a transfer has one entry for its payee, leg 1; there are %d, the first is leg %d", len(legs), legs[0].Leg)
	case legs[0].Subject != to:
		breach("payee_entry", "the entry is for the payee %s, the event is for %s", legs[0].Subject, to)
	case legs[0].Type != l.Type || legs[0].Outcome != Applied || legs[0].Reason != "" || legs[0].Seq == 0:
		breach("payee_entry", "the payee's entry is number %d, %q, %q %q", legs[0].Seq, legs[0].Type, legs[0].Outcome, legs[0].Reason)
	case legs[0].Amount != amount || legs[0].Fee != 0:
		breach("payee_entry", "the payee gets %d sats for a fee of %d, the event moves %d for nothing", legs[0].Amount, legs[0].Fee, amount)
	}
}

// examineQuotes holds events that paid quotes against the rows of those: a row of its wallet, paid, of that amount. Rows
// from before the events may repeat, and do not name their wallet.
func (a *Audit) examineQuotes(ctx context.Context, books Books, paid []Line) error {
	for page := range slices.Chunk(paid, keysPage) {
		quotes, k := make([]string, len(page)), Keys{}
		for i, l := range page {
			if p, err := l.decode(); err == nil { // it was decoded once
				quotes[i] = p.(event.QuotePaid).Quote
				k.Quotes = append(k.Quotes, quotes[i])
			}
		}
		stored, err := books.Stored(ctx, k)
		if err != nil {
			return err
		}
		for i, l := range page {
			e := l.Entries[0]
			if !slices.ContainsFunc(stored.quotes[quotes[i]], func(q *Quote) bool {
				return q.Paid && q.Amount == e.Amount && (q.Npub == l.Subject || q.Npub == "")
			}) {
				a.Find(Finding{"quote_amount", l.Subject, fmt.Sprintf("%s: the entry credits %d sats for the quote %q, and no paid quote of this wallet says so",
					l.place(), e.Amount, quotes[i])})
			}
		}
	}
	return nil
}

// decode reads the data of the event, when its secrets are open.
func (l Line) decode() (event.Payload, error) {
	if l.Sealed != nil {
		return nil, l.Sealed
	}
	return event.DecodePayload(l.Type, l.Data)
}

// missesKey tells whether a secret of the event stays sealed because its key is not at hand.
func (l Line) missesKey() bool {
	var closed *event.SealedError
	return errors.As(l.Sealed, &closed) && !closed.Known
}

func (l Line) place() string {
	return fmt.Sprintf("partition %d, position %d", l.Partition, l.Position)
}

// reasons are those of the catalogue, by type, and the one that an operator gives.
var reasons = func() map[string][]string {
	all := map[string][]string{}
	for _, info := range event.Catalogue() {
		all[info.Type] = append(info.Reasons, string(Skipped))
	}
	return all
}()

// reasonsOf lists the reasons for which an event of the type may be rejected; only an operator rejects an unknown one.
func reasonsOf(typ string) []string {
	if known, ok := reasons[typ]; ok {
		return known
	}
	return []string{string(Skipped)}
}
