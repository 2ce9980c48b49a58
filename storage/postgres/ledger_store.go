package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/safebox/safebox/worker/ledger"
)

// Store implements ledger.Tx: it queues at most twelve set-based statements, which Commit sends. Of those that touch wallets
// the journal's comes first, so that no row of them is locked out of order; and what touches none comes before, so that
// wallets are locked for as short as may be.
func (b *Batch) Store(_ context.Context, c ledger.Changes) error {
	b.storeQuotes(c)
	b.storeRecords(c)
	b.storeJournal(c)
	b.storeWallets(c)
	return nil
}

// column makes the array of one column.
func column[R, V any](rows []R, value func(R) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = value(r)
	}
	return values
}

func accountID(a *ledger.Account) int32             { return int32(a.ID) } // it came from an integer column
func accountChanged(a *ledger.Account) int16        { return int16(a.Changed()) }
func accountNpub(a *ledger.Account) string          { return a.Npub }
func accountCustomHandle(a *ledger.Account) *string { return a.CustomHandle }
func accountHomeRelay(a *ledger.Account) string     { return a.HomeRelay }
func accountAccessKey(a *ledger.Account) *string    { return a.AccessKey }
func accountOwner(a *ledger.Account) *string        { return a.Owner }
func accountCurrency(a *ledger.Account) *string     { return a.CurrencyCode }
func accountBalance(a *ledger.Account) int64        { return a.Balance }
func accountEntries(a *ledger.Account) int64        { return a.EntryCount }

func (b *Batch) storeWallets(c ledger.Changes) {
	// What frees a unique value comes before what may take it.
	if rows := c.Profiled; len(rows) > 0 {
		b.queue(qStoreProfiled, column(rows, accountID), column(rows, accountChanged), column(rows, accountCustomHandle),
			column(rows, accountOwner), column(rows, accountHomeRelay), column(rows, accountAccessKey), column(rows, accountCurrency))
	}
	if rows := c.Registered; len(rows) > 0 {
		b.queue(qStoreRegistered,
			column(rows, func(a *ledger.Account) string { return a.Handle }), column(rows, accountCustomHandle),
			column(rows, accountNpub), column(rows, accountHomeRelay),
			column(rows, func(a *ledger.Account) string { return a.OnboardCode }), column(rows, accountAccessKey),
			column(rows, accountBalance), column(rows, accountOwner),
			column(rows, func(a *ledger.Account) *string { return a.EmergencyCode }), column(rows, accountCurrency),
			column(rows, accountEntries))
	}
	if rows := c.Secrets; len(rows) > 0 {
		npubs := column(rows, func(s ledger.Secret) string { return s.Npub })
		b.queue(qClearSecrets, npubs)
		b.queue(qStoreSecrets, column(rows, func(s ledger.Secret) string { return s.Secret }), npubs)
	}
}

func (b *Batch) storeQuotes(c ledger.Changes) {
	if rows := c.Created; len(rows) > 0 {
		b.queue(qStoreCreatedQuotes,
			column(rows, func(q *ledger.Quote) string { return q.Handle }),
			column(rows, func(q *ledger.Quote) string { return q.Quote }),
			column(rows, func(q *ledger.Quote) int64 { return q.Amount }),
			column(rows, func(q *ledger.Quote) string { return q.Mint }),
			column(rows, func(q *ledger.Quote) bool { return q.Paid }),
			column(rows, func(q *ledger.Quote) string { return q.Npub }))
	}
	if rows := c.Settled; len(rows) > 0 {
		b.queue(qStoreSettledQuotes, column(rows, func(q *ledger.Quote) int32 { return int32(q.ID) })) // it came from an integer column
	}
}

func (b *Batch) storeRecords(c ledger.Changes) {
	if rows := c.NWCEvents; len(rows) > 0 {
		b.queue(qStoreNWCEvents, rows)
	}
	if rows := c.Nonces; len(rows) > 0 {
		b.queue(qStoreNonces,
			column(rows, func(n ledger.NonceUse) string { return n.RequesterPubkey }),
			column(rows, func(n ledger.NonceUse) string { return n.Flow }),
			column(rows, func(n ledger.NonceUse) string { return n.Nonce.Nonce }),
			column(rows, func(n ledger.NonceUse) int64 { return n.RequesterTS }),
			column(rows, func(n ledger.NonceUse) time.Time { return n.UsedAt }))
	}
	if rows := c.Offers; len(rows) > 0 {
		b.queue(qStoreOffers,
			column(rows, func(o ledger.Offer) string { return o.Nonce }),
			column(rows, func(o ledger.Offer) string { return o.Nauth }),
			column(rows, func(o ledger.Offer) int32 { return int32(o.GrantKind) }), // the door lets 0 to 2^31 − 1 in
			column(rows, func(o ledger.Offer) int32 { return int32(o.OfferKind) }), // the same
			column(rows, func(o ledger.Offer) string { return o.Host }),
			column(rows, func(o ledger.Offer) *string { return o.Label }),
			column(rows, func(o ledger.Offer) time.Time { return o.CreatedAt }))
	}
	if rows := c.Rates; len(rows) > 0 {
		b.queue(qStoreRates,
			column(rows, func(r *ledger.Rate) string { return r.Code }),
			column(rows, func(r *ledger.Rate) float64 { return r.Rate }),
			column(rows, func(r *ledger.Rate) time.Time { return r.RefreshedAt }))
	}
}

// storeJournal queues the moves of the batch's wallets, and its entries, relative to what their wallets hold after it.
func (b *Batch) storeJournal(c ledger.Changes) {
	if len(c.Entries) == 0 {
		return
	}
	moved := slices.SortedFunc(slices.Values(c.Moved), func(a, b *ledger.Account) int { return cmp.Compare(a.ID, b.ID) })
	accounts := make(map[string]*ledger.Account, len(moved))
	for _, a := range moved {
		accounts[a.Npub] = a
	}
	subjects, wallets := make([]string, len(c.Entries)), make([]int32, len(c.Entries))
	seqs, balances := make([]int64, len(c.Entries)), make([]int64, len(c.Entries))
	for i, e := range c.Entries {
		if a := accounts[e.Subject]; a != nil && e.Seq > 0 {
			wallets[i], seqs[i], balances[i] = accountID(a), e.Seq-a.EntryCount, e.Balance-a.Balance
		} else {
			subjects[i], seqs[i], balances[i] = e.Subject, e.Seq, e.Balance
		}
	}
	rows := c.Entries
	kinds, types, outcomes, reasons := kindsOf(rows)
	b.queue(qStoreJournal,
		column(moved, accountID),
		column(moved, func(a *ledger.Account) int64 { balance, _ := a.Base(); return a.Balance - balance }),
		column(moved, func(a *ledger.Account) int64 { _, entries := a.Base(); return a.EntryCount - entries }),
		column(rows, func(e ledger.Entry) int32 { return int32(e.Partition) }), // 0 to 63
		column(rows, func(e ledger.Entry) int64 { return e.Position }),
		column(rows, func(e ledger.Entry) int16 { return int16(e.Leg) }), // 0 or 1
		subjects, wallets, seqs, kinds,
		column(rows, func(e ledger.Entry) int64 { return e.Amount }),
		column(rows, func(e ledger.Entry) int64 { return e.Fee }),
		balances,
		column(rows, func(e ledger.Entry) int64 { return e.Wanted }),
		column(rows, func(e ledger.Entry) time.Time { return e.At }),
		types, outcomes, reasons)
}

// kindsOf makes one list of the types, outcomes and reasons that entries have together, and of the place, from 1, that each
// has in it.
func kindsOf(rows []ledger.Entry) (kinds []int16, types, outcomes, reasons []string) {
	type kind struct {
		typ     string
		outcome ledger.OutcomeKind
		reason  string
	}
	places := map[kind]int16{}
	kinds = make([]int16, len(rows))
	for i, e := range rows {
		k := kind{e.Type, e.Outcome, e.Reason}
		place, ok := places[k]
		if !ok {
			types, outcomes, reasons = append(types, k.typ), append(outcomes, string(k.outcome)), append(reasons, k.reason)
			place = int16(len(types)) // the catalogue has fewer than a hundred
			places[k] = place
		}
		kinds[i] = place
	}
	return kinds, types, outcomes, reasons
}
