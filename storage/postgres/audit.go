package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// Audit implements storage.Reader: every statement reads one snapshot, so that workers may go on meanwhile.
func (db *DB) Audit(ctx context.Context, topic, group string) (ledger.Audit, error) {
	return db.audit(ctx, topic, group, func(a *ledger.Audit, b *books) error { return nil })
}

// Rebuild implements storage.Reader, in the snapshot of its audit.
func (db *DB) Rebuild(ctx context.Context, topic, group string, progress func(events int64)) (ledger.Audit, error) {
	return db.audit(ctx, topic, group, func(a *ledger.Audit, b *books) error { return a.Rebuild(ctx, b, progress) })
}

func (db *DB) audit(ctx context.Context, topic, group string, more func(*ledger.Audit, *books) error) (a ledger.Audit, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return a, err
	}
	b := &Batch{conn: conn, secrets: db.options.Secrets, topic: topic, group: group} // for its rollback, and its way to load
	defer b.Rollback()
	if _, err := conn.Exec(ctx, qAuditBegin.SQL); err != nil {
		return a, wrap(qAuditBegin.Name, err)
	}
	books := &books{b}
	rows := func(q storage.Query, args ...any) func(row func(), into ...any) error {
		return func(row func(), into ...any) error {
			return books.each(ctx, q, args, func() error { row(); return nil }, into...)
		}
	}
	find := func(q storage.Query, args ...any) error {
		var f ledger.Finding
		return rows(q, append(args, ledger.MaxFindings+1)...)(func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail)
	}
	var outcome ledger.OutcomeKind
	var reason, credits, debits, fees, balances, openings string
	var n int64
	for _, step := range []func() error{
		func() error { return rows(qAuditLog, topic, group)(func() {}, &a.Events, &a.Pending) },
		func() error {
			return rows(qAuditOutcomes)(func() { a.Count(outcome, reason, n) }, &outcome, &reason, &n)
		},
		func() error { return rows(qAuditSums)(func() {}, &a.Entries, &credits, &debits, &fees) },
		func() error { return rows(qAuditWallets)(func() {}, &a.Wallets, &balances, &openings) },
		func() error { return rows(qParkedCount, topic, group)(func() {}, &a.Parked, &n) },
		func() error { return find(qAuditLost, topic, group) },
		func() error { return find(qAuditStray, topic) },
		func() error { return find(qAuditChains) },
		func() error { return find(qAuditBalances) },
		func() error { return find(qAuditSkips, topic, group) },
		func() error { return a.Examine(ctx, books) },
		func() error { return more(&a, books) },
	} {
		if err := step(); err != nil {
			return a, err
		}
	}
	for _, sum := range []struct {
		text string
		into *ledger.Sum
	}{
		{credits, &a.CreditTotal}, {debits, &a.DebitTotal}, {fees, &a.FeeTotal}, {balances, &a.BalanceTotal}, {openings, &a.OpeningTotal},
	} {
		if *sum.into, err = ledger.ParseSum(sum.text); err != nil {
			return a, err
		}
	}
	a.Conclude()
	return a, nil
}

// books implements ledger.Books on the transaction of an audit.
type books struct{ *Batch }

func (b *books) each(ctx context.Context, q storage.Query, args []any, row func() error, into ...any) error {
	rows, _ := b.conn.Query(ctx, q.SQL, args...) // ForEachRow returns the error of the query
	_, err := pgx.ForEachRow(rows, into, row)
	return wrap(q.Name, err)
}

// Lines implements ledger.Books.
func (b *books) Lines(ctx context.Context, partition int, after int64, limit int) (lines []ledger.Line, err error) {
	var r event.Record
	var e ledger.Entry
	var data []byte
	var metadata *string
	err = b.each(ctx, qAuditLines, []any{b.topic, partition, after, limit}, func() error {
		if n := len(lines); n == 0 || lines[n-1].Position != r.Position {
			r.Time, r.RecordedAt, r.Metadata = r.Time.UTC(), r.RecordedAt.UTC(), nil
			l := ledger.Line{Record: r}
			if err := storage.DecodeRecord(&l.Event, data, metadata); err != nil {
				return err
			}
			l.Event, l.Sealed = b.secrets.Open(l.Topic, l.Event)
			lines = append(lines, l)
		}
		if e.Leg >= 0 {
			e.Partition, e.Position, e.At = r.Partition, r.Position, e.At.UTC()
			l := &lines[len(lines)-1]
			l.Entries = append(l.Entries, e)
		}
		return nil
	}, &r.Topic, &r.Partition, &r.Position, &r.Source, &r.ID, &r.Type, &r.Subject, &r.Time, &data, &metadata, &r.RecordedAt,
		&e.Leg, &e.Subject, &e.Seq, &e.Type, &e.Outcome, &e.Reason, &e.Amount, &e.Fee, &e.Balance, &e.At)
	return lines, err
}

// Stored implements ledger.Books. No key of it is locked.
func (b *books) Stored(ctx context.Context, k ledger.Keys) (*ledger.State, error) {
	return b.Load(ctx, ledger.Keys{Quotes: k.Quotes, NWCSecrets: k.NWCSecrets, NWCEvents: k.NWCEvents, Nonces: k.Nonces, Offers: k.Offers})
}

// Wallets implements ledger.Books.
func (b *books) Wallets(ctx context.Context, after string, limit int, adopted bool) ([]ledger.Account, error) {
	q := qAuditAccounts
	if adopted {
		q = qAuditAdopted
	}
	rows, _ := b.conn.Query(ctx, q.SQL, after, limit) // CollectRows returns the error of the query
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a ledger.Account, err error) { return a, scanAccount(row, &a) })
	return list, wrap(q.Name, err)
}

// Rates implements ledger.Books.
func (b *books) Rates(ctx context.Context) (rates []ledger.Rate, err error) {
	var r ledger.Rate
	var refreshed *time.Time
	err = b.each(ctx, qAuditRates, nil, func() error {
		r.RefreshedAt = time.Time{}
		if refreshed != nil {
			r.RefreshedAt = refreshed.UTC()
		}
		rates = append(rates, r)
		return nil
	}, &r.Code, &r.Rate, &refreshed)
	return rates, err
}

// Resolved implements ledger.Books.
func (b *books) Resolved(ctx context.Context) (subjects []string, err error) {
	var s string
	err = b.each(ctx, qAuditResolved, []any{b.topic, b.group}, func() error {
		subjects = append(subjects, s)
		return nil
	}, &s)
	return subjects, err
}
