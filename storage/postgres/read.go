package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// collect runs a query and makes a value of each row.
func collect[T any](ctx context.Context, db *DB, q storage.Query, scan func(pgx.Rows) (T, error), args ...any) ([]T, error) {
	rows, err := db.query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) { return scan(rows) })
	return list, wrap(q.Name, err)
}

func scanWallet(rows pgx.Rows) (w ledger.Wallet, err error) {
	err = rows.Scan(&w.Npub, &w.Handle, &w.CustomHandle, &w.Owner, &w.HomeRelay, &w.CurrencyCode, &w.Balance, &w.OpeningBalance, &w.EntryCount)
	return w, err
}

func scanEntry(rows pgx.Rows) (e ledger.Entry, err error) {
	err = rows.Scan(&e.Partition, &e.Position, &e.Leg, &e.Subject, &e.Seq, &e.Type, &e.Outcome, &e.Reason, &e.Amount, &e.Fee, &e.Balance, &e.At)
	e.At = e.At.UTC()
	return e, err
}

func scanRecord(rows pgx.Rows) (r event.Record, err error) {
	var data []byte
	var metadata *string
	err = rows.Scan(&r.Topic, &r.Partition, &r.Position, &r.Source, &r.ID, &r.Type, &r.Subject, &r.Time, &data, &metadata, &r.RecordedAt)
	if err != nil {
		return r, err
	}
	r.Time, r.RecordedAt = r.Time.UTC(), r.RecordedAt.UTC()
	return r, storage.DecodeRecord(&r.Event, data, metadata)
}

func scanParked(rows pgx.Rows) (p event.Parked, err error) {
	err = rows.Scan(&p.Topic, &p.Group, &p.Partition, &p.Position, &p.Source, &p.ID, &p.Type, &p.Subject, &p.Error, &p.Attempts, &p.ParkedAt)
	p.ParkedAt = p.ParkedAt.UTC()
	return p, err
}

func scanAction(rows pgx.Rows) (a event.ParkedAction, err error) {
	err = rows.Scan(&a.Topic, &a.Group, &a.Subject, &a.Number, &a.Action, &a.Actor, &a.Reason, &a.First, &a.Last, &a.Events, &a.Error, &a.At)
	a.At = a.At.UTC()
	return a, err
}

// Wallet implements storage.Reader.
func (db *DB) Wallet(ctx context.Context, key string) (ledger.Wallet, error) {
	found, err := collect(ctx, db, qWalletByKey, scanWallet, key)
	if err != nil {
		return ledger.Wallet{}, err
	}
	if len(found) == 0 {
		return ledger.Wallet{}, event.ErrNotFound
	}
	return found[0], nil
}

// Wallets implements storage.Reader.
func (db *DB) Wallets(ctx context.Context, after string, limit int) ([]ledger.Wallet, error) {
	return collect(ctx, db, qWallets, scanWallet, after, limit)
}

// Entries implements storage.Reader.
func (db *DB) Entries(ctx context.Context, subject string, afterSeq int64, limit int) ([]ledger.Entry, error) {
	var list []ledger.Entry
	if afterSeq == 0 {
		first, err := collect(ctx, db, qEntriesWithoutSeq, scanEntry, subject, limit)
		if err != nil {
			return nil, err
		}
		list = first
	}
	numbered, err := collect(ctx, db, qEntries, scanEntry, subject, afterSeq, limit-len(list))
	return append(list, numbered...), err
}

// Events implements storage.Reader.
func (db *DB) Events(ctx context.Context, topic, source, id string) ([]event.Record, error) {
	if source == "" {
		return collect(ctx, db, qEventsByIDAnySource, scanRecord, topic, id)
	}
	return collect(ctx, db, qEventsByID, scanRecord, topic, source, id)
}

// Read implements storage.Reader.
func (db *DB) Read(ctx context.Context, topic string, partition int, after int64, limit int) ([]event.Record, error) {
	return collect(ctx, db, qReadLog, scanRecord, topic, partition, after, limit)
}

// RecordedAt implements storage.Reader.
func (db *DB) RecordedAt(ctx context.Context, topic string, partition int, position int64) (time.Time, error) {
	var at time.Time
	err := db.queryRow(ctx, qRecordedAt, []any{topic, partition, position}, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		err = event.ErrNotFound
	}
	return at.UTC(), err
}

// EntriesAt implements storage.Reader.
func (db *DB) EntriesAt(ctx context.Context, partition int, position int64) ([]ledger.Entry, error) {
	return collect(ctx, db, qEntriesAt, scanEntry, partition, position)
}

// Parked implements storage.Reader.
func (db *DB) Parked(ctx context.Context, topic, group, subject string, after event.Place, limit int) ([]event.Parked, error) {
	return collect(ctx, db, qParked, scanParked, topic, group, subject, after.Partition, after.Position, limit)
}

// ParkedAt implements storage.Reader.
func (db *DB) ParkedAt(ctx context.Context, topic, group string, partition int, position int64) (event.Parked, error) {
	found, err := collect(ctx, db, qParkedAt, scanParked, topic, group, partition, position)
	if err != nil {
		return event.Parked{}, err
	}
	if len(found) == 0 {
		return event.Parked{}, event.ErrNotFound
	}
	return found[0], nil
}

// ParkedSubjects implements storage.Reader.
func (db *DB) ParkedSubjects(ctx context.Context, topic, group string, after event.ParkedSubject, limit int) ([]event.ParkedSubject, error) {
	return collect(ctx, db, qParkedSubjects, func(rows pgx.Rows) (s event.ParkedSubject, err error) {
		return s, rows.Scan(&s.Partition, &s.Subject, &s.Events)
	}, topic, group, after.Partition, after.Subject, limit)
}

// ParkedActions implements storage.Reader.
func (db *DB) ParkedActions(ctx context.Context, topic, group, subject string, limit int) ([]event.ParkedAction, error) {
	return collect(ctx, db, qParkedActions, scanAction, topic, group, subject, limit)
}

// ParkedCount implements storage.Reader.
func (db *DB) ParkedCount(ctx context.Context, topic, group string) (events, subjects int64, err error) {
	err = db.queryRow(ctx, qParkedCount, []any{topic, group}, &events, &subjects)
	return events, subjects, err
}

// OldestPending implements storage.Reader.
func (db *DB) OldestPending(ctx context.Context, topic, group string) (time.Time, error) {
	var at *time.Time
	err := db.queryAfter(ctx, call{qSettlePlans, nil}, call{qOldestPending, []any{topic, group}}, func(rows pgx.Rows) error {
		return each(rows, func() {}, &at)
	})
	if err != nil || at == nil {
		return time.Time{}, err
	}
	return at.UTC(), nil
}

// Beat implements storage.Membership.
func (db *DB) Beat(ctx context.Context, r storage.Replica) error {
	return db.exec(ctx, qBeat, r.Instance, r.Version, r.Lanes, r.State, r.Leader)
}

// Leave implements storage.Membership.
func (db *DB) Leave(ctx context.Context, instance string) error {
	return db.exec(ctx, qLeave, instance)
}

// Replicas implements storage.Membership.
func (db *DB) Replicas(ctx context.Context, within time.Duration) ([]storage.Replica, error) {
	return collect(ctx, db, qReplicas, func(rows pgx.Rows) (r storage.Replica, err error) {
		err = rows.Scan(&r.Instance, &r.Version, &r.Since, &r.SeenAt, &r.Lanes, &r.State, &r.Leader)
		r.Since, r.SeenAt = r.Since.UTC(), r.SeenAt.UTC()
		return r, err
	}, within)
}
