package ledger

import "github.com/safebox/safebox/worker/event"

func credit(a *Account, p event.FundsCredited) (effect, Reason) {
	if p.Amount > event.MaxAmount-a.Balance {
		return effect{}, BalanceOverflow
	}
	a.Balance += p.Amount
	return effect{amount: p.Amount}, ""
}

func debit(a *Account, p event.FundsDebited) (effect, Reason) {
	if !a.covers(p.Amount, p.Fee) {
		return effect{wanted: p.Amount + p.Fee}, InsufficientFunds
	}
	a.Balance -= p.Amount + p.Fee
	return effect{amount: -p.Amount, fee: p.Fee}, ""
}

func (s *State) transfer(c Command, a *Account, p event.FundsTransferred) (effect, Reason, error) {
	payee := s.accounts[p.To]
	reason := Reason("")
	switch {
	case payee == nil:
		if s.awaited[c.Place()] {
			return effect{}, "", &AwaitError{p.To}
		}
		reason = UnknownPayee
	case !a.covers(p.Amount, p.Fee):
		return effect{wanted: p.Amount + p.Fee}, InsufficientFunds, nil
	case payee == a:
		reason = SelfTransfer
	case p.Amount > event.MaxAmount-payee.Balance:
		reason = BalanceOverflow
	}
	if reason != "" {
		return effect{}, reason, nil
	}
	a.Balance -= p.Amount + p.Fee
	payee.Balance += p.Amount
	return effect{amount: -p.Amount, fee: p.Fee, payee: payee}, "", nil
}

// covers tells whether the balance is enough; amount and fee are at most 2^53 − 1 each, so their sum does not overflow.
func (a *Account) covers(amount, fee int64) bool { return amount+fee <= a.Balance }

func (s *State) createQuote(a *Account, p event.QuoteCreated) Reason {
	if len(s.quotes[p.Quote]) > 0 {
		return QuoteTaken
	}
	q := &Quote{Npub: a.Npub, Handle: a.Handle, Quote: p.Quote, Amount: p.Amount, Mint: p.Mint}
	s.quotes[p.Quote] = []*Quote{q}
	s.changes.Created = append(s.changes.Created, q)
	return ""
}

// payQuote credits a quote of this wallet. Databases from before the events may hold a quote more than once: each unpaid
// row is good for one payment.
func (s *State) payQuote(a *Account, p event.QuotePaid) (effect, Reason, error) {
	reason := UnknownQuote
	for _, q := range s.quotes[p.Quote] {
		if !q.ownedBy(a) {
			continue
		}
		if q.Paid {
			reason = QuoteAlreadyPaid
			continue
		}
		if q.Amount < 0 || q.Amount > event.MaxAmount-a.Balance {
			return effect{}, "", &RangeError{a.Npub, "the quote's amount would take the balance out of 0 … 2^53 − 1 sats"}
		}
		q.Paid, q.settled = true, q.ID != 0
		a.Balance += q.Amount
		return effect{amount: q.Amount}, "", nil
	}
	return effect{}, reason, nil
}
