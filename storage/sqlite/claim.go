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

// Batch is claimed partitions: an open transaction on the writer. The file's write lock excludes every other claim.
type Batch struct {
	tx      *transaction
	secrets *event.Keyring
	topic   string
	group   string
	subject string // of a batch of parked events; "" for a batch of the log
	cursors map[int]int64
	records []event.Record
	blocked map[string]bool
	parked  []parkedRow
	actions []event.ParkedAction
}

type parkedRow struct {
	event.Place
	subject, cause string
	attempts       int
}

// Claim implements event.Log. It waits for the write lock, which its holders keep for one batch, and for the writer's
// connection, which the lanes of this process share.
func (db *DB) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	b, err := db.newBatch(ctx, topic, group)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if err := b.claim(ctx, p, limit); err != nil {
			b.Rollback()
			return nil, err
		}
	}
	b.records = event.Merge(b.records)
	return b, nil
}

// claim reads what comes next in a partition.
func (b *Batch) claim(ctx context.Context, p, limit int) error {
	if err := b.readCursor(ctx, p); err != nil {
		return err
	}
	records, err := b.read(ctx, qReadBatch, b.topic, p, b.cursors[p], limit)
	if err != nil || len(records) == 0 {
		return err
	}
	b.records = append(b.records, records...)
	rows, err := b.tx.query(ctx, qBlockedSubjects, b.topic, b.group, p, b.cursors[p], records[len(records)-1].Position)
	if err != nil {
		return err
	}
	var subject string
	return rows.each([]any{&subject}, func() error {
		b.blocked[subject] = true
		return nil
	})
}

// ClaimParked implements event.Log.
func (db *DB) ClaimParked(ctx context.Context, topic, group, subject string) (event.Batch, error) {
	b, err := db.newBatch(ctx, topic, group)
	if err != nil {
		return nil, err
	}
	b.subject = subject
	p := event.Partition(subject)
	if err = b.readCursor(ctx, p); err == nil {
		b.records, err = b.read(ctx, qClaimParked, topic, group, p, subject)
	}
	if err == nil && len(b.records) == 0 {
		err = event.ErrNotFound
	}
	if err != nil {
		b.Rollback()
		return nil, err
	}
	return b, nil
}

func (db *DB) newBatch(ctx context.Context, topic, group string) (*Batch, error) {
	tx, err := db.write(ctx)
	if err != nil {
		return nil, err
	}
	return &Batch{tx: tx, secrets: db.options.Secrets, topic: topic, group: group, cursors: map[int]int64{}, blocked: map[string]bool{}}, nil
}

func (b *Batch) readCursor(ctx context.Context, p int) error {
	var cursor int64
	err := b.tx.queryRow(ctx, qClaim, []any{b.topic, b.group, p}, &cursor)
	if errors.Is(err, sql.ErrNoRows) { // the group has not joined the topic
		return event.ErrNotFound
	}
	b.cursors[p] = cursor
	return err
}

func (b *Batch) read(ctx context.Context, q storage.Query, args ...any) ([]event.Record, error) {
	rows, err := b.tx.query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	return collectRows(rows, scanRecord)
}

// Records implements event.Batch.
func (b *Batch) Records() []event.Record { return b.records }

// Open implements ledger.Tx.
func (b *Batch) Open(r event.Record) (_ event.Record, err error) {
	r.Event, err = b.secrets.Open(r.Topic, r.Event)
	return r, err
}

// Cursors implements event.Batch.
func (b *Batch) Cursors() map[int]int64 { return b.cursors }

// Waited implements event.Batch: who has the write lock waits for nobody.
func (b *Batch) Waited() time.Duration { return 0 }

// Blocked implements event.Batch.
func (b *Batch) Blocked() map[string]bool { return b.blocked }

// Park implements event.Batch.
func (b *Batch) Park(r event.Record, cause string, attempts int) {
	b.parked = append(b.parked, parkedRow{r.Place(), r.Subject, cause, attempts})
}

// Note implements event.Batch.
func (b *Batch) Note(a event.ParkedAction) { b.actions = append(b.actions, a) }

// Commit implements event.Batch.
func (b *Batch) Commit(ctx context.Context, upTo map[int]int64) error {
	defer b.tx.rollback() // unless it is committed
	move := qMoveCursor
	args := func(p int) []any { return []any{b.topic, b.group, p, upTo[p]} }
	if b.subject != "" {
		move = qUnparkEvents
		args = func(p int) []any { return []any{b.topic, b.group, p, b.subject, upTo[p]} }
	}
	for p := range upTo {
		if _, err := b.tx.exec(ctx, move, args(p)...); err != nil {
			return err
		}
	}
	now := eventStamp(time.Now())
	err := many(ctx, b.tx, qParkEvents, b.parked, func(p *params, r parkedRow) {
		p.all(b.topic, b.group, r.Partition, r.Position, r.subject, r.cause, r.attempts, now)
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
	return r, storage.DecodeRecord(&r.Event, []byte(data), metadata)
}
