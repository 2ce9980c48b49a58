package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// loadStep is one of Load's statements: it runs only when the batch has keys for it.
type loadStep struct {
	query storage.Query
	args  []any
	scan  func(pgx.Rows) error
}

// Load implements ledger.Tx: at most nine statements in one round trip, and a second one where a payee is unknown.
func (b *Batch) Load(ctx context.Context, k ledger.Keys) (*ledger.State, error) {
	s := ledger.NewState()
	if err := b.load(ctx, loadSteps(k, s)); err != nil {
		return nil, err
	}
	unpayable := s.Unpayable(k.Transfers)
	if len(unpayable) == 0 {
		return s, nil
	}
	var place event.Place
	return s, b.load(ctx, []loadStep{{qLoadAwaited, []any{
		b.topic, b.group,
		column(unpayable, func(t ledger.Transfer) int32 { return int32(t.Partition) }), // 0 to 63
		column(unpayable, func(t ledger.Transfer) int64 { return t.Position }),
		column(unpayable, func(t ledger.Transfer) string { return t.Payee }),
	}, func(rows pgx.Rows) error {
		return each(rows, func() { s.AddAwaited(place) }, &place.Partition, &place.Position)
	}}})
}

func (b *Batch) load(ctx context.Context, steps []loadStep) error {
	if len(steps) == 0 {
		return nil
	}
	for _, step := range steps {
		b.queue(step.query, step.args...)
	}
	return b.send(ctx, func(results pgx.BatchResults) error {
		for _, step := range steps {
			rows, _ := results.Query() // the scan returns the error of the query
			if err := step.scan(rows); err != nil {
				return wrap(step.query.Name, err)
			}
		}
		return nil
	})
}

func loadSteps(k ledger.Keys, s *ledger.State) (steps []loadStep) {
	add := func(n int, q storage.Query, scan func(pgx.Rows) error, args ...any) {
		if n > 0 {
			steps = append(steps, loadStep{q, args, scan})
		}
	}
	var id, balance, entries int64
	var first, second string
	balances := k.Balances()
	add(len(balances), qLoadBalances, func(rows pgx.Rows) error {
		return each(rows, func() { s.AddBalance(id, first, balance, entries) }, &id, &first, &balance, &entries)
	}, balances)
	add(len(k.Profiles), qLoadWallets, func(rows pgx.Rows) error { return scanAccounts(rows, s) }, k.Profiles)
	add(len(k.Handles)+len(k.CustomHandles)+len(k.AccessKeys)+len(k.EmergencyCodes), qLoadOwners,
		func(rows pgx.Rows) error { return scanOwners(rows, s) }, k.Handles, k.CustomHandles, k.AccessKeys, k.EmergencyCodes)
	add(len(k.NWCSecrets), qLoadSecrets, func(rows pgx.Rows) error {
		return each(rows, func() { s.AddSecret(first, second) }, &first, &second)
	}, k.NWCSecrets)
	add(len(k.Quotes), qLoadQuotes, func(rows pgx.Rows) error {
		var q ledger.Quote
		return each(rows, func() { s.AddQuote(q) }, &q.ID, &q.Npub, &q.Handle, &q.Quote, &q.Amount, &q.Mint, &q.Paid)
	}, k.Quotes)
	add(len(k.NWCEvents), qLoadNWCEvents, func(rows pgx.Rows) error {
		return each(rows, func() { s.AddNWCEvent(first) }, &first)
	}, k.NWCEvents)
	pubkeys, flows, nonces := nonceColumns(k.Nonces)
	add(len(k.Nonces), qLoadNonces, func(rows pgx.Rows) error {
		var n ledger.Nonce
		return each(rows, func() { s.AddNonce(n) }, &n.RequesterPubkey, &n.Flow, &n.Nonce)
	}, pubkeys, flows, nonces)
	add(len(k.Offers), qLoadOffers, func(rows pgx.Rows) error {
		return each(rows, func() { s.AddOffer(first) }, &first)
	}, k.Offers)
	add(len(k.Currencies), qLoadRates, func(rows pgx.Rows) error {
		var code string
		var refreshed *time.Time
		return each(rows, func() {
			r := ledger.Rate{Code: code}
			if refreshed != nil {
				r.RefreshedAt = refreshed.UTC()
			}
			s.AddRate(r)
		}, &code, &refreshed)
	}, k.Currencies)
	return steps
}

func each(rows pgx.Rows, row func(), into ...any) error {
	_, err := pgx.ForEachRow(rows, into, func() error { row(); return nil })
	return err
}

func scanAccounts(rows pgx.Rows, s *ledger.State) error {
	defer rows.Close()
	for rows.Next() {
		var a ledger.Account // a fresh one each time: it holds pointers
		if err := scanAccount(rows, &a); err != nil {
			return err
		}
		s.AddAccount(a)
	}
	return rows.Err()
}

func scanAccount(row pgx.CollectableRow, a *ledger.Account) error {
	return row.Scan(&a.ID, &a.Npub, &a.Handle, &a.CustomHandle, &a.Owner, &a.HomeRelay, &a.OnboardCode, &a.AccessKey,
		&a.EmergencyCode, &a.CurrencyCode, &a.Balance, &a.OpeningBalance, &a.EntryCount)
}

func scanOwners(rows pgx.Rows, s *ledger.State) error {
	var column, value, npub string
	return each(rows, func() {
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
	}, &column, &value, &npub)
}

func nonceColumns(ns []ledger.Nonce) (pubkeys, flows, nonces []string) {
	for _, n := range ns {
		pubkeys, flows, nonces = append(pubkeys, n.RequesterPubkey), append(flows, n.Flow), append(nonces, n.Nonce)
	}
	return pubkeys, flows, nonces
}
