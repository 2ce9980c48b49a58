package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

var (
	_ event.Batch = (*Batch)(nil)
	_ ledger.Tx   = (*Batch)(nil)
)

// Batch is a claimed partition: an open transaction on the writer. The file's write lock excludes every other claim.
type Batch struct {
	tx        *transaction
	secrets   *event.Keyring
	topic     string
	group     string
	partition int
	subject   string // of a batch of parked events; "" for a batch of the log
	cursor    int64
	records   []event.Record
	blocked   map[string]bool
	parked    []parkedRow
	actions   []event.ParkedAction
}

type parkedRow struct {
	position       int64
	subject, cause string
	attempts       int
}

// Claim implements event.Log. It waits for the write lock, which its holders keep for one batch, and for the writer's
// connection, which the lanes of this process share.
func (db *DB) Claim(ctx context.Context, topic, group string, partition, limit int) (event.Batch, error) {
	b, err := db.newBatch(ctx, topic, group, partition)
	if err != nil {
		return nil, err
	}
	if err := b.read(ctx, qReadBatch, topic, partition, b.cursor, limit); err != nil {
		b.Rollback()
		return nil, err
	}
	if len(b.records) == 0 {
		return b, nil
	}
	last := b.records[len(b.records)-1].Position
	rows, err := b.tx.query(ctx, qBlockedSubjects, topic, group, partition, b.cursor, last)
	if err == nil {
		var subject string
		err = rows.each([]any{&subject}, func() error {
			b.blocked[subject] = true
			return nil
		})
	}
	if err != nil {
		b.Rollback()
		return nil, err
	}
	return b, nil
}

// ClaimParked implements event.Log.
func (db *DB) ClaimParked(ctx context.Context, topic, group, subject string) (event.Batch, error) {
	b, err := db.newBatch(ctx, topic, group, event.Partition(subject))
	if err != nil {
		return nil, err
	}
	b.subject = subject
	err = b.read(ctx, qClaimParked, topic, group, b.partition, subject)
	if err == nil && len(b.records) == 0 {
		err = event.ErrNotFound
	}
	if err != nil {
		b.Rollback()
		return nil, err
	}
	return b, nil
}

// newBatch opens the transaction and reads the cursor.
func (db *DB) newBatch(ctx context.Context, topic, group string, partition int) (*Batch, error) {
	tx, err := db.write(ctx)
	if err != nil {
		return nil, err
	}
	b := &Batch{tx: tx, secrets: db.options.Secrets, topic: topic, group: group, partition: partition, blocked: map[string]bool{}}
	err = tx.queryRow(ctx, qClaim, []any{topic, group, partition}, &b.cursor)
	if errors.Is(err, sql.ErrNoRows) { // the group has not joined the topic
		err = event.ErrNotFound
	}
	if err != nil {
		b.Rollback()
		return nil, err
	}
	return b, nil
}

func (b *Batch) read(ctx context.Context, q storage.Query, args ...any) error {
	rows, err := b.tx.query(ctx, q, args...)
	if err != nil {
		return err
	}
	b.records, err = collectRows(rows, scanRecord)
	return err
}

// Records implements event.Batch.
func (b *Batch) Records() []event.Record { return b.records }

// Open implements ledger.Tx.
func (b *Batch) Open(r event.Record) (_ event.Record, err error) {
	r.Event, err = b.secrets.Open(r.Topic, r.Event)
	return r, err
}

// Cursor implements event.Batch.
func (b *Batch) Cursor() int64 { return b.cursor }

// Blocked implements event.Batch.
func (b *Batch) Blocked() map[string]bool { return b.blocked }

// Park implements event.Batch.
func (b *Batch) Park(r event.Record, cause string, attempts int) {
	b.parked = append(b.parked, parkedRow{r.Position, r.Subject, cause, attempts})
}

// Note implements event.Batch.
func (b *Batch) Note(a event.ParkedAction) { b.actions = append(b.actions, a) }

// Commit implements event.Batch.
func (b *Batch) Commit(ctx context.Context, upTo int64) error {
	defer b.tx.rollback() // unless it is committed
	var err error
	if b.subject != "" {
		_, err = b.tx.exec(ctx, qUnparkEvents, b.topic, b.group, b.partition, b.subject, upTo)
	} else {
		_, err = b.tx.exec(ctx, qMoveCursor, b.topic, b.group, b.partition, upTo)
	}
	if err != nil {
		return err
	}
	now := eventStamp(time.Now())
	err = many(ctx, b.tx, qParkEvents, b.parked, func(p *params, r parkedRow) {
		p.all(b.topic, b.group, b.partition, r.position, r.subject, r.cause, r.attempts, now)
	})
	if err != nil {
		return err
	}
	err = many(ctx, b.tx, qNoteAction, b.actions, func(p *params, a event.ParkedAction) {
		p.all(b.topic, b.group, b.subject, a.Action, a.Actor, a.Reason, a.First, a.Last, a.Events, a.Error, now)
	})
	if err != nil {
		return err
	}
	return b.tx.commit(ctx)
}

// Rollback implements event.Batch.
func (b *Batch) Rollback() { b.tx.rollback() }

// scanRecord reads a row of the log.
func scanRecord(scan func(...any) error) (r event.Record, err error) {
	var data string
	var metadata *string
	var at, recorded moment
	err = scan(&r.Topic, &r.Partition, &r.Position, &r.Source, &r.ID, &r.Type, &r.Subject, &at, &data, &metadata, &recorded)
	if err != nil {
		return r, err
	}
	r.Time, r.RecordedAt = at.Time, recorded.Time
	return r, storage.DecodeRecord(&r.Event, data, metadata)
}
