package postgres

import (
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// appendAttempts bounds how often an append is written again after another append, which holds the locks of other
// partitions, took one of its identities in between. The next try finds that identity in the log.
const appendAttempts = 5

// Append implements event.Log: two statements in one implicit transaction, sent in one round trip.
func (db *DB) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	return storage.AppendDistinct(events, func(unique []event.Event) ([]event.Receipt, error) {
		columns, err := newAppendColumns(unique)
		if err != nil {
			return nil, err
		}
		for attempt := 1; ; attempt++ {
			receipts, err := db.appendOnce(ctx, topic, columns)
			if storage.ClassOf(err) != storage.Unique || attempt == appendAttempts {
				return receipts, err
			}
		}
	})
}

// appendColumns are the columns of an append, an array each, and the partitions it touches, sorted.
type appendColumns struct {
	touched, partitions                 []int32
	sources, ids, types, subjects, data []string
	times                               []time.Time
	metadata                            []*string
}

func newAppendColumns(events []event.Event) (c appendColumns, err error) {
	for _, e := range events {
		data, metadata, err := storage.EncodeRecord(e)
		if err != nil {
			return c, err
		}
		c.partitions = append(c.partitions, int32(event.Partition(e.Subject))) // 0 to 63
		c.sources = append(c.sources, e.Source)
		c.ids = append(c.ids, e.ID)
		c.types = append(c.types, e.Type)
		c.subjects = append(c.subjects, e.Subject)
		c.times = append(c.times, e.Time)
		c.data = append(c.data, data)
		c.metadata = append(c.metadata, metadata)
	}
	c.touched = slices.Clone(c.partitions)
	slices.Sort(c.touched)
	c.touched = slices.Compact(c.touched)
	return c, nil
}

func (db *DB) appendOnce(ctx context.Context, topic string, c appendColumns) ([]event.Receipt, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	var b pgx.Batch
	b.Queue(qAppendLock.SQL, lockClass(topic), c.touched)
	b.Queue(qAppendEvents.SQL, topic, c.partitions, c.sources, c.ids, c.types, c.subjects, c.times, c.data, c.metadata)
	results := conn.SendBatch(ctx, &b)
	receipts := make([]event.Receipt, len(c.ids))
	if _, err = results.Exec(); err != nil {
		results.Close() //nolint:errcheck // the first error is the one that matters
		return nil, wrap(qAppendLock.Name, err)
	}
	rows, err := results.Query()
	if err == nil {
		err = scanReceipts(rows, receipts)
	}
	if closeErr := results.Close(); err == nil { // Close carries the error of the commit
		err = closeErr
	}
	if err != nil {
		return nil, wrap(qAppendEvents.Name, err)
	}
	return receipts, nil
}

func scanReceipts(rows pgx.Rows, receipts []event.Receipt) error {
	var ord int64
	var r event.Receipt
	_, err := pgx.ForEachRow(rows, []any{&ord, &r.Result, &r.Partition, &r.Position}, func() error {
		receipts[ord-1] = r
		return nil
	})
	return err
}

// lockClass is the first key of the advisory locks of a topic's partitions.
func lockClass(topic string) int32 {
	h := fnv.New32a()
	h.Write([]byte("safebox event_log " + topic))
	return int32(h.Sum32()) // the bits count, not the sign
}

// Heads implements event.Log: 64 probes of the primary key.
func (db *DB) Heads(ctx context.Context, topic string) (event.Positions, error) {
	return db.positions(ctx, qHeads, topic)
}

// Cursors implements event.Log.
func (db *DB) Cursors(ctx context.Context, topic, group string) (event.Positions, error) {
	return db.positions(ctx, qCursors, topic, group)
}

func (db *DB) positions(ctx context.Context, q storage.Query, args ...any) (ps event.Positions, err error) {
	rows, err := db.query(ctx, q, args...)
	if err != nil {
		return ps, err
	}
	var partition int
	var position *int64
	_, err = pgx.ForEachRow(rows, []any{&partition, &position}, func() error {
		if position != nil {
			ps[partition] = *position
		}
		return nil
	})
	return ps, wrap(q.Name, err)
}

// Join implements event.Log.
func (db *DB) Join(ctx context.Context, topic, group string) error {
	_, err := db.JoinAt(ctx, topic, group, event.Positions{})
	return err
}

// JoinAt implements event.Log: one statement, so that of two callers one makes all of the group.
func (db *DB) JoinAt(ctx context.Context, topic, group string, at event.Positions) (bool, error) {
	n, err := db.execOn(ctx, nil, qJoinGroup, topic, group, at[:])
	return n == event.Partitions, err
}

// Announce implements event.Log: a NOTIFY, outside any append's transaction.
func (db *DB) Announce(ctx context.Context, topic string) error {
	return db.exec(ctx, qAnnounce, topic)
}
