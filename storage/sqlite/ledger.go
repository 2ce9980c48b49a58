package sqlite

import (
	"context"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// loader runs Load's statements until one fails.
type loader struct {
	ctx   context.Context // it lives for one call of Load
	query func(ctx context.Context, q storage.Query, args ...any) (*rows, error)
	err   error
}

// load runs a statement, unless the batch has no keys for it, and calls add after each row is scanned into dest.
func (l *loader) load(keys int, q storage.Query, dest []any, add func(), args ...any) {
	if keys == 0 || l.err != nil {
		return
	}
	rows, err := l.query(l.ctx, q, args...)
	if err == nil {
		err = rows.each(dest, func() error { add(); return nil })
	}
	l.err = err
}

// Load implements ledger.Tx: at most ten statements. The write lock is the lock on the wallets.
func (b *Batch) Load(ctx context.Context, k ledger.Keys) (*ledger.State, error) {
	s := ledger.NewState()
	l := loader{ctx: ctx, query: b.tx.query}
	balances := k.Balances()
	var a ledger.Account
	l.load(len(balances), qLoadBalances, []any{&a.ID, &a.Npub, &a.Balance, &a.EntryCount},
		func() { s.AddBalance(a.ID, a.Npub, a.Balance, a.EntryCount) }, array(balances))
	l.load(len(k.Profiles), qLoadWallets, []any{
		&a.ID, &a.Npub, &a.Handle, &a.CustomHandle, &a.Owner, &a.HomeRelay, &a.OnboardCode, &a.AccessKey, &a.EmergencyCode,
		&a.CurrencyCode, &a.Balance, &a.OpeningBalance, &a.EntryCount,
	}, func() { s.AddAccount(a) }, array(k.Profiles))
	var first, second, third string
	l.loadRecords(s, k)
	l.load(len(k.Handles)+len(k.CustomHandles)+len(k.AccessKeys)+len(k.EmergencyCodes), qLoadOwners,
		[]any{&first, &second, &third}, func() { addOwner(s, first, second, third) },
		array(k.Handles), array(k.CustomHandles), array(k.AccessKeys), array(k.EmergencyCodes))
	var refreshed moment
	l.load(len(k.Currencies), qLoadRates, []any{&first, &refreshed},
		func() { s.AddRate(ledger.Rate{Code: first, RefreshedAt: refreshed.Time}) }, array(k.Currencies))
	unpayable := s.Unpayable(k.Transfers)
	var place event.Place
	l.load(len(unpayable), qLoadAwaited, []any{&place.Partition, &place.Position}, func() { s.AddAwaited(place) },
		b.topic, b.group, transferArray(unpayable))
	return s, l.err
}

// loadRecords loads what is no wallet.
func (l *loader) loadRecords(s *ledger.State, k ledger.Keys) {
	var first, second string
	l.load(len(k.NWCSecrets), qLoadSecrets, []any{&first, &second}, func() { s.AddSecret(first, second) }, array(k.NWCSecrets))
	var q ledger.Quote
	l.load(len(k.Quotes), qLoadQuotes, []any{&q.ID, &q.Npub, &q.Handle, &q.Quote, &q.Amount, &q.Mint, &q.Paid},
		func() { s.AddQuote(q) }, array(k.Quotes))
	l.load(len(k.NWCEvents), qLoadNWCEvents, []any{&first}, func() { s.AddNWCEvent(first) }, array(k.NWCEvents))
	var n ledger.Nonce
	l.load(len(k.Nonces), qLoadNonces, []any{&n.RequesterPubkey, &n.Flow, &n.Nonce}, func() { s.AddNonce(n) }, nonceArray(k.Nonces))
	l.load(len(k.Offers), qLoadOffers, []any{&first}, func() { s.AddOffer(first) }, array(k.Offers))
}

func addOwner(s *ledger.State, column, value, npub string) {
	switch column {
	case "handle":
		s.AddHandle(value, npub)
	case "custom_handle":
		s.AddCustomHandle(value, npub)
	case "access_key":
		s.AddAccessKey(value, npub)
	case "emergency_code":
		s.AddEmergencyCode(value, npub)
	}
}

func nonceArray(ns []ledger.Nonce) string {
	rows := make([][3]string, len(ns))
	for i, n := range ns {
		rows[i] = [3]string{n.RequesterPubkey, n.Flow, n.Nonce}
	}
	return array(rows)
}

func transferArray(ts []ledger.Transfer) string {
	rows := make([][3]any, len(ts))
	for i, t := range ts {
		rows[i] = [3]any{t.Partition, t.Position, t.Payee}
	}
	return array(rows)
}

// Store implements ledger.Tx: at most thirteen statements, each run once a row. What frees a unique value comes before
// what may take it.
func (b *Batch) Store(ctx context.Context, c ledger.Changes) error {
	tx := b.tx
	for _, store := range []func() error{
		func() error {
			return many(ctx, tx, qStoreProfiled, c.Profiled, func(p *params, a *ledger.Account) {
				p.all(a.ID, a.CustomHandle, a.Owner, a.HomeRelay, a.AccessKey, a.CurrencyCode)
			})
		},
		func() error {
			return many(ctx, tx, qStoreRegistered, c.Registered, func(p *params, a *ledger.Account) {
				p.text(a.Handle)
				p.optional(a.CustomHandle)
				p.text(a.Npub)
				p.text(a.HomeRelay)
				p.text(a.OnboardCode)
				p.optional(a.AccessKey)
				p.integer(a.Balance)
				p.optional(a.Owner)
				p.optional(a.EmergencyCode)
				p.optional(a.CurrencyCode)
				p.integer(a.EntryCount)
			})
		},
		func() error {
			return many(ctx, tx, qStoreMoved, c.Moved, func(p *params, a *ledger.Account) {
				p.integer(a.ID)
				p.integer(a.Balance)
				p.integer(a.EntryCount)
			})
		},
		func() error {
			return many(ctx, tx, qClearSecrets, c.Secrets, func(p *params, x ledger.Secret) { p.text(x.Npub) })
		},
		func() error {
			return many(ctx, tx, qStoreSecrets, c.Secrets, func(p *params, x ledger.Secret) { p.all(x.Secret, x.Npub) })
		},
		func() error {
			return many(ctx, tx, qStoreCreatedQuotes, c.Created, func(p *params, q *ledger.Quote) {
				p.all(q.Handle, q.Quote, q.Amount, q.Mint, q.Paid, q.Npub)
			})
		},
		func() error {
			return many(ctx, tx, qStoreSettledQuotes, c.Settled, func(p *params, q *ledger.Quote) { p.integer(q.ID) })
		},
		func() error {
			return many(ctx, tx, qStoreNWCEvents, c.NWCEvents, func(p *params, id string) { p.text(id) })
		},
		func() error {
			return many(ctx, tx, qStoreNonces, c.Nonces, func(p *params, n ledger.NonceUse) {
				p.all(n.RequesterPubkey, n.Flow, n.Nonce.Nonce, n.RequesterTS, columnStamp(n.UsedAt))
			})
		},
		func() error {
			return many(ctx, tx, qStoreOffers, c.Offers, func(p *params, o ledger.Offer) {
				p.all(o.Nonce, o.Nauth, o.GrantKind, o.OfferKind, o.Host, o.Label, columnStamp(o.CreatedAt))
			})
		},
		func() error {
			return many(ctx, tx, qStoreRates, c.Rates, func(p *params, r *ledger.Rate) {
				p.all(r.Code, r.Rate, columnStamp(r.RefreshedAt))
			})
		},
		func() error {
			return many(ctx, tx, qStoreEntries, c.Entries, func(p *params, e ledger.Entry) {
				p.integer(int64(e.Partition))
				p.integer(e.Position)
				p.integer(int64(e.Leg))
				p.text(e.Subject)
				p.integer(e.Seq)
				p.text(e.Type)
				p.text(string(e.Outcome))
				p.text(e.Reason)
				p.integer(e.Amount)
				p.integer(e.Fee)
				p.integer(e.Balance)
				p.text(eventStamp(e.At))
			})
		},
	} {
		if err := store(); err != nil {
			return err
		}
	}
	return nil
}
