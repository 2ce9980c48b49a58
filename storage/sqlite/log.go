package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// watchEvery is the time between two looks at the file's data version, by which a process sees the others' appends.
const watchEvery = 10 * time.Millisecond

// Append implements event.Log: one transaction under the file's write lock.
func (db *DB) Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	return storage.AppendSealed(ctx, db.options.Secrets, topic, events, db.Events, func(unique []event.Event) (receipts []event.Receipt, err error) {
		tx, err := db.write(ctx)
		if err != nil {
			return nil, err
		}
		defer tx.rollback()
		if receipts, err = appendTo(ctx, tx, topic, unique); err != nil {
			return nil, err
		}
		return receipts, tx.commit(ctx)
	})
}

func appendTo(ctx context.Context, tx *transaction, topic string, events []event.Event) ([]event.Receipt, error) {
	receipts := make([]event.Receipt, len(events))
	next, now, err := heads(ctx, tx, topic, events)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		p := event.Partition(e.Subject)
		data, metadata, err := storage.EncodeRecord(e)
		if err != nil {
			return nil, err
		}
		added, err := tx.exec(ctx, qAppendEvent, topic, p, next[p], e.Source, e.ID, e.Type, e.Subject, eventStamp(e.Time), data, metadata,
			eventStamp(now.Add(time.Duration(i+1)*time.Microsecond)))
		if err != nil {
			return nil, err
		}
		if added == 1 {
			receipts[i] = event.Receipt{Result: event.Appended, Partition: p, Position: next[p]}
			next[p]++
			continue
		}
		r, same := event.Receipt{Result: event.Conflict}, false
		err = tx.queryRow(ctx, qKnownEvent, []any{topic, e.Source, e.ID, e.Type, e.Subject, data}, &r.Partition, &r.Position, &same)
		if err != nil {
			return nil, err
		}
		if same {
			r.Result = event.Duplicate
		}
		receipts[i] = r
	}
	return receipts, nil
}

// heads finds the position of the next event of each partition, and the time of recording: never before what the topic
// holds already, so that the times grow from append to append, whatever the clock does. Transfers rely on that.
func heads(ctx context.Context, tx *transaction, topic string, events []event.Event) (next map[int]int64, now time.Time, err error) {
	next, now = map[int]int64{}, time.Now()
	var latest moment
	if err := tx.queryRow(ctx, qLatest, []any{topic, allPartitions}, &latest); err != nil {
		return nil, now, err
	}
	if latest.After(now) {
		now = latest.Time
	}
	for _, e := range events {
		p := event.Partition(e.Subject)
		if _, known := next[p]; known {
			continue
		}
		var position int64
		if err := tx.queryRow(ctx, qHead, []any{topic, p}, &position); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, now, err
		}
		next[p] = position + 1
	}
	return next, now, nil
}

// array gives a list as the JSON that json_each takes apart.
func array(list any) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // lists of strings and numbers only
	}
	return string(b)
}

// allPartitions is the list of all partitions, as JSON.
var allPartitions = func() string {
	var all [event.Partitions]int
	for p := range all {
		all[p] = p
	}
	return array(all)
}()

// Heads implements event.Log: 64 probes of the primary key.
func (db *DB) Heads(ctx context.Context, topic string) (event.Positions, error) {
	ps, _, err := db.positions(ctx, qHeads, topic, allPartitions)
	return ps, err
}

// Cursors implements event.Log: of all partitions, which is no dearer.
func (db *DB) Cursors(ctx context.Context, topic, group string, _ ...int) (event.Positions, error) {
	ps, _, err := db.positions(ctx, qCursors, topic, group)
	return ps, err
}

func (db *DB) positions(ctx context.Context, q storage.Query, args ...any) (ps event.Positions, n int, err error) {
	rows, err := db.query(ctx, q, args...)
	if err != nil {
		return ps, 0, err
	}
	var partition int
	var position *int64
	err = rows.each([]any{&partition, &position}, func() error {
		n++
		if position != nil {
			ps[partition] = *position
		}
		return nil
	})
	return ps, n, err
}

// Join implements event.Log.
func (db *DB) Join(ctx context.Context, topic, group string) error {
	_, n, err := db.positions(ctx, qCursors, topic, group)
	if err != nil || n == event.Partitions {
		return err
	}
	_, err = db.JoinAt(ctx, topic, group, event.Positions{})
	return err
}

// JoinAt implements event.Log.
func (db *DB) JoinAt(ctx context.Context, topic, group string, at event.Positions) (bool, error) {
	tx, err := db.write(ctx)
	if err != nil {
		return false, err
	}
	defer tx.rollback()
	n, err := tx.exec(ctx, qJoinGroup, topic, group, array(at[:]))
	if err != nil {
		return false, err
	}
	return n == event.Partitions, tx.commit(ctx)
}

// writeOne runs one statement in a transaction of its own.
func (db *DB) writeOne(ctx context.Context, q storage.Query, args ...any) error {
	tx, err := db.write(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback()
	if _, err := tx.exec(ctx, q, args...); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// Announce implements event.Log. Other processes watch the file's data version: there is nothing to tell them.
func (db *DB) Announce(context.Context, string, event.Positions) error { return nil }

// Changes implements event.Log by watching the file's data version, which every commit of another connection changes.
func (db *DB) Changes(ctx context.Context, _ string) <-chan event.Positions {
	changes := event.NewNews()
	go func() {
		defer close(changes)
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		var last int64
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			version, err := db.dataVersion(ctx)
			if err != nil || version == last {
				continue // the reader polls as well
			}
			last = version
			changes.Put(event.Positions{})
		}
	}()
	return changes
}
