package sqlite

import (
	"context"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// Audit implements storage.Reader: every statement reads one snapshot, so that workers may go on meanwhile.
func (db *DB) Audit(ctx context.Context, topic, group string) (ledger.Audit, error) {
	return db.audit(ctx, topic, group, func(*ledger.Audit, *books) error { return nil })
}

// Rebuild implements storage.Reader, in the snapshot of its audit.
func (db *DB) Rebuild(ctx context.Context, topic, group string, progress func(events int64)) (ledger.Audit, error) {
	return db.audit(ctx, topic, group, func(a *ledger.Audit, b *books) error { return a.Rebuild(ctx, b, progress) })
}

func (db *DB) audit(ctx context.Context, topic, group string, more func(*ledger.Audit, *books) error) (a ledger.Audit, err error) {
	err = db.snapshot(ctx, func(on runner) error {
		b := &books{db: db, on: on, topic: topic, group: group}
		none := func() error { return nil }
		find := func(q storage.Query, args ...any) error {
			var f ledger.Finding
			return b.each(ctx, q, append(args, ledger.MaxFindings+1), func() error { a.Find(f); return nil }, &f.Check, &f.Subject, &f.Detail)
		}
		var outcome ledger.OutcomeKind
		var reason string
		var n int64
		var high, low [3]int64 // of the sums; see the statements
		count := func() error { a.Count(outcome, reason, n); return nil }
		for _, step := range []func() error{
			func() error { return b.each(ctx, qAuditLog, []any{topic, group}, none, &a.Events, &a.Pending) },
			func() error { return b.each(ctx, qAuditOutcomes, nil, count, &outcome, &reason, &n) },
			func() error {
				err := b.each(ctx, qAuditSums, nil, none, &a.Entries, &high[0], &low[0], &high[1], &low[1], &high[2], &low[2])
				a.CreditTotal, a.DebitTotal, a.FeeTotal = ledger.SumOf(high[0], low[0]), ledger.SumOf(high[1], low[1]), ledger.SumOf(high[2], low[2])
				return err
			},
			func() error {
				err := b.each(ctx, qAuditWallets, nil, none, &a.Wallets, &high[0], &low[0], &high[1], &low[1])
				a.BalanceTotal, a.OpeningTotal = ledger.SumOf(high[0], low[0]), ledger.SumOf(high[1], low[1])
				return err
			},
			func() error { return b.each(ctx, qParkedCount, []any{topic, group}, none, &a.Parked, &n) },
			func() error { return find(qAuditLost, topic, group) },
			func() error { return find(qAuditStray, topic) },
			func() error { return find(qAuditChains) },
			func() error { return find(qAuditBalances) },
			func() error { return find(qAuditSkips, topic, group) },
			func() error { return a.Examine(ctx, b) },
			func() error { return more(&a, b) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	a.Conclude()
	return a, nil
}

// books implements ledger.Books on the snapshot of an audit.
type books struct {
	db           *DB
	on           runner
	topic, group string
}

func (b *books) each(ctx context.Context, q storage.Query, args []any, row func() error, into ...any) error {
	rows, err := b.db.queryOn(ctx, b.on, q, args...)
	if err != nil {
		return err
	}
	return rows.each(into, row)
}

// Lines implements ledger.Books.
func (b *books) Lines(ctx context.Context, partition int, after int64, limit int) (lines []ledger.Line, err error) {
	var r event.Record
	var e ledger.Entry
	var data string
	var metadata *string
	var happened, recorded, at moment
	err = b.each(ctx, qAuditLines, []any{b.topic, partition, after, limit}, func() error {
		if n := len(lines); n == 0 || lines[n-1].Position != r.Position {
			r.Time, r.RecordedAt, r.Metadata = happened.Time, recorded.Time, nil
			l := ledger.Line{Record: r}
			if err := storage.DecodeRecord(&l.Event, []byte(data), metadata); err != nil {
				return err
			}
			l.Event, l.Sealed = b.db.options.Secrets.Open(l.Topic, l.Event)
			lines = append(lines, l)
		}
		if e.Leg >= 0 {
			e.Partition, e.Position, e.At = r.Partition, r.Position, at.Time
			l := &lines[len(lines)-1]
			l.Entries = append(l.Entries, e)
		}
		return nil
	}, &r.Topic, &r.Partition, &r.Position, &r.Source, &r.ID, &r.Type, &r.Subject, &happened, &data, &metadata, &recorded,
		&e.Leg, &e.Subject, &e.Seq, &e.Type, &e.Outcome, &e.Reason, &e.Amount, &e.Fee, &e.Balance, &at)
	return lines, err
}

// Stored implements ledger.Books.
func (b *books) Stored(ctx context.Context, k ledger.Keys) (*ledger.State, error) {
	s := ledger.NewState()
	l := loader{ctx: ctx, query: func(ctx context.Context, q storage.Query, args ...any) (*rows, error) {
		return b.db.queryOn(ctx, b.on, q, args...)
	}}
	l.loadRecords(s, k)
	return s, l.err
}

// Wallets implements ledger.Books.
func (b *books) Wallets(ctx context.Context, after string, limit int, adopted bool) (list []ledger.Account, err error) {
	q := qAuditAccounts
	if adopted {
		q = qAuditAdopted
	}
	var a ledger.Account
	err = b.each(ctx, q, []any{after, limit}, func() error {
		list = append(list, a)
		return nil
	}, &a.ID, &a.Npub, &a.Handle, &a.CustomHandle, &a.Owner, &a.HomeRelay, &a.OnboardCode, &a.AccessKey, &a.EmergencyCode,
		&a.CurrencyCode, &a.Balance, &a.OpeningBalance, &a.EntryCount)
	return list, err
}

// Rates implements ledger.Books.
func (b *books) Rates(ctx context.Context) (rates []ledger.Rate, err error) {
	var r ledger.Rate
	var refreshed moment
	err = b.each(ctx, qAuditRates, nil, func() error {
		r.RefreshedAt = refreshed.Time
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
