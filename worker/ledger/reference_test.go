package ledger_test

import (
	"maps"
	"slices"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// reference is the catalogue written down a second time, as plainly as it can be: one event after the other, on whole
// tables, with every question answered by looking at every row. It shares nothing with the ledger but the types of rows.
type reference struct{ tables *memory }

// handle does what an event does, and names what it came to.
func (r *reference) handle(c ledger.Command) string {
	t := r.tables
	me := r.find(c.Subject)
	what := "applied"
	var amount, fee int64
	var payee *ledger.Account
	switch p := c.Payload.(type) {
	case event.WalletRegistered:
		what = r.mayRegister(p)
		if what == "applied" {
			t.Wallets = append(t.Wallets, ledger.Account{
				ID: int64(len(t.Wallets) + 1), Npub: p.Npub, Handle: p.Handle, CustomHandle: p.CustomHandle, Owner: p.Owner,
				HomeRelay: p.HomeRelay, OnboardCode: p.OnboardCode, AccessKey: p.AccessKey, EmergencyCode: p.EmergencyCode, CurrencyCode: p.CurrencyCode,
			})
			me = r.find(c.Subject)
		}
	case event.NWCReceived:
		if slices.Contains(t.NWCEvents, p.EventID) {
			what = "nwc_event_seen"
		} else {
			t.NWCEvents = append(t.NWCEvents, p.EventID)
		}
	case event.NonceUsed:
		me = nil
		n := ledger.Nonce{RequesterPubkey: p.RequesterPubkey, Flow: p.Flow, Nonce: p.Nonce}
		if slices.ContainsFunc(t.Nonces, func(u ledger.NonceUse) bool { return u.Nonce == n }) {
			what = "nonce_used"
		} else {
			t.Nonces = append(t.Nonces, ledger.NonceUse{Nonce: n, RequesterTS: p.RequesterTS, UsedAt: c.Time})
		}
	case event.OfferOpened:
		me = nil
		if slices.ContainsFunc(t.Offers, func(o ledger.Offer) bool { return o.Nonce == p.Nonce }) {
			what = "nonce_used"
		} else {
			t.Offers = append(t.Offers, ledger.Offer{OfferOpened: p, CreatedAt: c.Time})
		}
	case event.CurrencyQuoted:
		me = nil
		what = "unknown_currency"
		for i := range t.Rates {
			if rate := &t.Rates[i]; rate.Code == c.Subject {
				what = "stale_rate"
				if p.RefreshedAt.After(rate.RefreshedAt) {
					rate.Rate, rate.RefreshedAt, what = p.Rate, p.RefreshedAt, "applied"
				}
			}
		}
	default:
		if me == nil {
			what = "unknown_wallet"
			break
		}
		what, amount, fee, payee = r.change(me, c.Payload)
	}
	if what == "parked" {
		return what
	}
	r.write(c, what, me, amount, fee, payee)
	return what
}

// change is what an event does to a wallet that is there.
func (r *reference) change(me *ledger.Account, payload event.Payload) (what string, amount, fee int64, payee *ledger.Account) {
	t := r.tables
	switch p := payload.(type) {
	case event.WalletUpdated:
		if p.CustomHandle.Value != nil && r.another(me.Npub, func(w ledger.Account) *string { return w.CustomHandle }, p.CustomHandle.Value) {
			return "custom_handle_taken", 0, 0, nil
		}
		if p.CustomHandle.Set {
			me.CustomHandle = p.CustomHandle.Value
		}
		if p.Owner.Set {
			me.Owner = p.Owner.Value
		}
		if p.HomeRelay != nil {
			me.HomeRelay = *p.HomeRelay
		}
		if p.CurrencyCode.Set {
			me.CurrencyCode = p.CurrencyCode.Value
		}
	case event.WalletAccessKeyRotated:
		if r.another(me.Npub, func(w ledger.Account) *string { return w.AccessKey }, p.AccessKey) {
			return "access_key_taken", 0, 0, nil
		}
		me.AccessKey = p.AccessKey
	case event.WalletNWCRotated:
		owners := map[string]string{}
		for _, s := range t.Secrets {
			owners[s.Secret] = s.Npub
		}
		if owner := owners[p.NWCSecret]; owner != "" && owner != me.Npub {
			return "nwc_secret_taken", 0, 0, nil
		}
		maps.DeleteFunc(owners, func(_, npub string) bool { return npub == me.Npub })
		owners[p.NWCSecret] = me.Npub
		t.Secrets = nil
		for secret, npub := range owners {
			t.Secrets = append(t.Secrets, ledger.Secret{Secret: secret, Npub: npub})
		}
		slices.SortFunc(t.Secrets, func(a, b ledger.Secret) int {
			return slices.Compare([]string{a.Npub, a.Secret}, []string{b.Npub, b.Secret})
		})
	case event.FundsCredited:
		if me.Balance > most-p.Amount {
			return "balance_overflow", 0, 0, nil
		}
		amount = p.Amount
	case event.FundsDebited:
		if p.Amount+p.Fee > me.Balance {
			return "insufficient_funds", 0, 0, nil
		}
		amount, fee = -p.Amount, p.Fee
	case event.FundsTransferred:
		payee = r.find(p.To)
		switch {
		case payee == nil:
			return "unknown_payee", 0, 0, nil
		case p.Amount+p.Fee > me.Balance:
			return "insufficient_funds", 0, 0, nil
		case p.To == me.Npub:
			return "self_transfer", 0, 0, nil
		case payee.Balance > most-p.Amount:
			return "balance_overflow", 0, 0, nil
		}
		amount, fee = -p.Amount, p.Fee
	case event.QuoteCreated:
		for _, q := range t.Quotes {
			if q.Quote == p.Quote {
				return "quote_taken", 0, 0, nil
			}
		}
		t.Quotes = append(t.Quotes, ledger.Quote{
			ID: int64(len(t.Quotes) + 1), Npub: me.Npub, Handle: me.Handle, Quote: p.Quote, Amount: p.Amount, Mint: p.Mint,
		})
	case event.QuotePaid:
		what, amount = r.pay(me, p.Quote)
		if what != "applied" {
			return what, 0, 0, nil
		}
	}
	return "applied", amount, fee, payee
}

// pay looks for the first row of the quote that is this wallet's and unpaid.
func (r *reference) pay(me *ledger.Account, quote string) (what string, amount int64) {
	what = "unknown_quote"
	for i := range r.tables.Quotes {
		q := &r.tables.Quotes[i]
		mine := q.Npub == me.Npub || q.Npub == "" && q.Handle == me.Handle
		switch {
		case q.Quote != quote || !mine:
		case q.Paid:
			what = "quote_paid"
		case q.Amount < 0 || me.Balance > most-q.Amount:
			return "parked", 0
		default:
			q.Paid = true
			return "applied", q.Amount
		}
	}
	return what, 0
}

// write moves the money and adds the entries.
func (r *reference) write(c ledger.Command, what string, me *ledger.Account, amount, fee int64, payee *ledger.Account) {
	e := ledger.Entry{
		Partition: c.Partition, Position: c.Position, Subject: c.Subject, Type: c.Type,
		Outcome: ledger.Applied, Amount: amount, Fee: fee, At: c.Time,
	}
	if what != "applied" {
		e.Outcome, e.Reason = ledger.Rejected, what
	}
	if me != nil {
		me.Balance += amount - fee
		me.EntryCount++
		e.Seq, e.Balance = me.EntryCount, me.Balance
	}
	r.tables.Entries = append(r.tables.Entries, e)
	if payee != nil {
		payee.Balance -= amount
		payee.EntryCount++
		e.Leg, e.Subject, e.Amount, e.Fee, e.Seq, e.Balance = 1, payee.Npub, -amount, 0, payee.EntryCount, payee.Balance
		r.tables.Entries = append(r.tables.Entries, e)
	}
}

func (r *reference) mayRegister(p event.WalletRegistered) string {
	switch {
	case r.find(p.Npub) != nil:
		return "npub_taken"
	case r.another("", func(w ledger.Account) *string { return &w.Handle }, &p.Handle):
		return "handle_taken"
	case r.another("", func(w ledger.Account) *string { return w.CustomHandle }, p.CustomHandle):
		return "custom_handle_taken"
	case r.another("", func(w ledger.Account) *string { return w.AccessKey }, p.AccessKey):
		return "access_key_taken"
	case r.another("", func(w ledger.Account) *string { return w.EmergencyCode }, p.EmergencyCode):
		return "emergency_code_taken"
	}
	return "applied"
}

func (r *reference) find(npub string) *ledger.Account {
	for i := range r.tables.Wallets {
		if r.tables.Wallets[i].Npub == npub {
			return &r.tables.Wallets[i]
		}
	}
	return nil
}

// another tells whether a wallet other than npub has the value in a column.
func (r *reference) another(npub string, column func(ledger.Account) *string, value *string) bool {
	return value != nil && slices.ContainsFunc(r.tables.Wallets, func(w ledger.Account) bool {
		have := column(w)
		return w.Npub != npub && have != nil && *have == *value
	})
}
