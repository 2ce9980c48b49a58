package ledger

import (
	"time"

	"github.com/safebox/safebox/worker/event"
)

// appendPatience is longer than an append takes from the time that it records to its commit.
const appendPatience = time.Minute

// claim is a rejection whose cause has not come up yet where the rebuild stands: some event must still make it.
type claim struct {
	line   Line
	reason Reason
	value  string
}

// mayBe tells whether a lane can have rejected an event for the recorded reason although the rebuild has no such cause where
// it stands. What it cannot tell yet becomes a claim.
func (r *rebuild) mayBe(c Command, recorded Entry) bool {
	a := r.shadow.accounts[c.Subject]
	reason := Reason(recorded.Reason)
	adopted := a != nil && a.adopted
	switch reason {
	case UnknownWallet, QuoteAlreadyPaid, UnknownQuote:
		return adopted && r.unproved() // when the wallet, or its older quote, came is not in the log
	case InsufficientFunds: // whether the payee was there already, which is looked at before the funds, is not in the log
		amount, fee := cost(c.Payload)
		return a != nil && !a.covers(amount, fee)
	case UnknownPayee:
		p, ok := c.Payload.(event.FundsTransferred)
		payee := r.shadow.accounts[p.To]
		switch {
		case !ok || payee == nil:
			return false
		case payee.adopted:
			return r.unproved()
		case !payee.registered.Before(c.RecordedAt):
			return true
		default: // it would have been waited for, unless it was parked, or became visible after it was recorded
			return (r.resolved[p.To] || c.RecordedAt.Sub(payee.registered) < appendPatience) && r.unproved()
		}
	case UnknownCurrency:
		return r.unproved() // currencies are seeded, not made by events
	case StaleRate:
		rate := r.shadow.rates[c.Subject]
		return rate != nil && rate.RefreshedAt.IsZero() && r.unproved()
	}
	for _, value := range claimed(reason, c.Payload) {
		r.claims = append(r.claims, claim{Line{Record: c.Record}, reason, value})
		return true
	}
	return false
}

func (r *rebuild) unproved() bool {
	r.report.Unproved++
	return true
}

// adopted is unproved for what only a row from before the events can have caused: where no wallet is, none of those is.
func (r *rebuild) adopted() bool { return r.report.Adopted > 0 && r.unproved() }

func cost(p event.Payload) (amount, fee int64) {
	switch p := p.(type) {
	case event.FundsDebited:
		return p.Amount, p.Fee
	case event.FundsTransferred:
		return p.Amount, p.Fee
	}
	return 0, 0
}

// claimed is the value that the reason says was taken, or the wallet that it says was full: at most one.
func claimed(reason Reason, p event.Payload) []string {
	one := func(value *string) []string {
		if value == nil {
			return nil
		}
		return []string{*value}
	}
	switch p := p.(type) {
	case event.WalletRegistered:
		switch reason {
		case HandleTaken:
			return one(&p.Handle)
		case CustomHandleTaken:
			return one(p.CustomHandle)
		case AccessKeyTaken:
			return one(p.AccessKey)
		case EmergencyCodeTaken:
			return one(p.EmergencyCode)
		}
	case event.WalletUpdated:
		if reason == CustomHandleTaken {
			return one(p.CustomHandle.Value)
		}
	case event.WalletAccessKeyRotated:
		if reason == AccessKeyTaken {
			return one(p.AccessKey)
		}
	case event.WalletNWCRotated:
		if reason == NWCSecretTaken {
			return one(&p.NWCSecret)
		}
	case event.QuoteCreated:
		if reason == QuoteTaken {
			return one(&p.Quote)
		}
	case event.NWCReceived:
		if reason == NWCEventSeen {
			return one(&p.EventID)
		}
	case event.NonceUsed:
		if reason == NonceUsedBefore {
			return one(&p.Nonce)
		}
	case event.OfferOpened:
		if reason == NonceUsedBefore {
			return one(&p.Nonce)
		}
	case event.FundsTransferred:
		if reason == BalanceOverflow {
			return one(&p.To)
		}
	}
	return nil
}

// losses notes that an adopted wallet gives up a value of which the log does not say since when it had it.
func (r *rebuild) losses(c Command) {
	if a := r.shadow.accounts[c.Subject]; a == nil || !a.adopted {
		return
	}
	switch p := c.Payload.(type) {
	case event.WalletUpdated:
		r.lost[customHandle] = r.lost[customHandle] || p.CustomHandle.Set
	case event.WalletAccessKeyRotated:
		r.lost[accessKey] = true
	}
}

// expectPayment makes an older quote that may have been paid when the log was young unpaid, where an event paid it.
func (s *shadow) expectPayment(quote string, amount int64) {
	for _, q := range s.quotes[quote] {
		if q.Npub == "" && !q.settled && q.Amount == amount {
			q.Paid = false
			return
		}
	}
}

// settleClaims looks, at the end of the log, for the causes that had not come up.
func (r *rebuild) settleClaims() error {
	for len(r.claims) > 0 {
		page := r.claims[:min(len(r.claims), keysPage)]
		r.claims = r.claims[len(page):]
		var k Keys
		for _, c := range page {
			switch c.reason {
			case NWCEventSeen:
				k.NWCEvents = append(k.NWCEvents, c.value)
			case NonceUsedBefore:
				if n, ok := c.nonce(); ok {
					k.Nonces = append(k.Nonces, n)
				} else {
					k.Offers = append(k.Offers, c.value)
				}
			}
		}
		stored, err := r.books.Stored(r.ctx, k)
		if err != nil {
			return err
		}
		for _, c := range page {
			if !r.settled(c, stored) {
				r.find(c.line, "rebuilt_outcome", "it was rejected for %q, and the log has no cause for that", c.reason)
			}
		}
	}
	return nil
}

func (c claim) nonce() (Nonce, bool) {
	p, err := c.line.decode()
	n, ok := p.(event.NonceUsed)
	return Nonce{n.RequesterPubkey, n.Flow, n.Nonce}, ok && err == nil
}

// settled tells whether a claim came true: another wallet had the value at some time, or a row of before the events has it.
func (r *rebuild) settled(c claim, stored *State) bool {
	s, subject := r.shadow, c.line.Subject
	another := func(npub string) bool { return npub != "" && npub != subject }
	changing := func(column string) bool {
		return another(s.held[held{column, c.value}]) || r.lost[column] && r.unproved()
	}
	switch c.reason {
	case HandleTaken:
		return another(s.handles[c.value])
	case EmergencyCodeTaken:
		return another(s.codes[c.value])
	case CustomHandleTaken:
		return changing(customHandle)
	case AccessKeyTaken:
		return changing(accessKey)
	case NWCSecretTaken: // an adopted wallet's own is not known
		return another(s.held[held{nwcSecret, c.value}]) || r.adopted()
	case QuoteTaken:
		for _, q := range s.quotes[c.value] {
			if another(q.Npub) || q.Npub == "" {
				return true
			}
		}
		return false
	case NWCEventSeen: // made by an event of another subject; or there before, and then no event made it
		return s.nwcEvents[c.value] || stored.nwcEvents[c.value] && r.adopted()
	case NonceUsedBefore: // the subject's own order is the log's: had an event made it before, the fold would have said so
		if n, ok := c.nonce(); ok {
			return !s.nonces[n] && stored.nonces[n] && r.adopted()
		}
		return !s.offers[c.value] && stored.offers[c.value] && r.adopted()
	case BalanceOverflow:
		p, err := c.line.decode()
		t, ok := p.(event.FundsTransferred)
		payee := s.accounts[c.value]
		return err == nil && ok && payee != nil && t.Amount > event.MaxAmount-payee.highest
	default:
		return false
	}
}
