package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// rollbackTimeout bounds a rollback; a connection that does not answer within it is thrown away, which rolls back too.
const rollbackTimeout = 5 * time.Second

var (
	_ event.Batch = (*Batch)(nil)
	_ ledger.Tx   = (*Batch)(nil)
)

// Batch is claimed partitions and their open transaction, on one connection of the pool. Claim, Load and Commit take a
// round trip each, whatever the number of events: Store only queues its statements, and Commit sends them.
type Batch struct {
	conn    *pgxpool.Conn // nil once it is committed or rolled back
	secrets *event.Keyring
	topic   string
	group   string
	subject string // of a batch of parked events; "" for a batch of the log
	cursors map[int]int64
	eras    map[int]int64 // of the cursors
	records []event.Record
	blocked map[string]bool
	parked  parkedColumns
	actions []event.ParkedAction
	queued  pgx.Batch
	names   []string // of the queued statements
	waited  time.Duration
}

type parkedColumns struct {
	partitions       []int32
	positions        []int64
	subjects, errors []string
	attempts         []int32
}

// Claim implements event.Log.
func (db *DB) Claim(ctx context.Context, topic, group string, partitions []int, limit int) (event.Batch, error) {
	b, err := db.newBatch(ctx, topic, group)
	if err != nil {
		return nil, err
	}
	b.begin()
	eras := db.eras.of(topic, group, partitions)
	b.queue(qClaim, topic, group, partitions, eras)
	for i, p := range partitions {
		b.queue(qClaimedEvents, topic, group, p, limit, eras[i])
	}
	b.queue(qBlockedSubjects, topic, group, partitions, limit, eras)
	err = b.send(ctx, func(results pgx.BatchResults) error {
		if err := begun(results); err != nil {
			return err
		}
		rows, _ := results.Query() // ForEachRow returns the error of the query
		var partition int
		var cursor, era int64
		_, err := pgx.ForEachRow(rows, []any{&partition, &cursor, &era}, func() error {
			b.cursors[partition], b.eras[partition] = cursor, era
			return nil
		})
		if err != nil {
			return wrap(qClaim.Name, err)
		}
		for _, p := range partitions {
			if err := b.scanClaimed(results, p, limit); err != nil {
				return err
			}
		}
		b.records = event.Merge(b.records)
		return b.scanBlocked(results)
	})
	switch {
	case err != nil:
		b.Rollback()
		return nil, err
	case len(b.cursors) == 0:
		b.Rollback()
		return nil, event.ErrClaimed
	}
	db.eras.noteEras(topic, group, b.eras)
	return b, nil
}

// ClaimParked implements event.Log. It waits for the lane that holds the partition.
func (db *DB) ClaimParked(ctx context.Context, topic, group, subject string) (event.Batch, error) {
	partition := event.Partition(subject)
	b, err := db.newBatch(ctx, topic, group)
	if err != nil {
		return nil, err
	}
	b.subject = subject
	b.begin()
	b.queue(qLockCursor, topic, group, partition)
	b.queue(qClaimParked, topic, group, partition, subject)
	err = b.send(ctx, func(results pgx.BatchResults) error {
		if err := begun(results); err != nil {
			return err
		}
		var cursor int64
		if err := results.QueryRow().Scan(&cursor); err != nil {
			return wrap(qLockCursor.Name, err)
		}
		b.cursors[partition] = cursor
		rows, _ := results.Query() // ForEachRow returns the error of the query
		r := scannedRecord{Place: event.Place{Partition: partition}}
		_, err := pgx.ForEachRow(rows, r.columns(), func() error { return b.add(&r) })
		return wrap(qClaimParked.Name, err)
	})
	if err == nil && len(b.records) == 0 {
		err = event.ErrNotFound
	}
	if errors.Is(err, pgx.ErrNoRows) { // the group has no cursor: it never ran
		err = event.ErrNotFound
	}
	if err != nil {
		b.Rollback()
		return nil, err
	}
	return b, nil
}

func (db *DB) newBatch(ctx context.Context, topic, group string) (*Batch, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &Batch{conn: conn, secrets: db.options.Secrets, topic: topic, group: group, cursors: map[int]int64{}, eras: map[int]int64{}, blocked: map[string]bool{}}, nil
}

func (b *Batch) queue(q storage.Query, args ...any) {
	b.queued.Queue(q.SQL, args...)
	b.names = append(b.names, q.Name)
}

// begin queues the statements that open the transaction.
func (b *Batch) begin() {
	b.queue(qBeginBatch)
	b.queue(qSettlePlans)
}

func begun(results pgx.BatchResults) error {
	for _, q := range []storage.Query{qBeginBatch, qSettlePlans} {
		if _, err := results.Exec(); err != nil {
			return wrap(q.Name, err)
		}
	}
	return nil
}

// send sends what is queued in one round trip and lets read take the results.
func (b *Batch) send(ctx context.Context, read func(pgx.BatchResults) error) error {
	results := b.conn.SendBatch(ctx, &b.queued)
	err := read(results)
	closeErr := results.Close()
	b.queued, b.names = pgx.Batch{}, nil
	if err != nil {
		return err
	}
	return wrap(qBeginBatch.Name, closeErr)
}

// sendAll sends what is queued where no result matters but what the journal's statement says.
func (b *Batch) sendAll(ctx context.Context) error {
	names := b.names
	return b.send(ctx, func(results pgx.BatchResults) error {
		for _, name := range names {
			var err error
			if name == qStoreJournal.Name {
				err = results.QueryRow().Scan(&b.waited)
			} else {
				_, err = results.Exec()
			}
			if err != nil {
				return wrap(name, err)
			}
		}
		return nil
	})
}

// scanClaimed takes the events of a partition. Where the lane that had it gave it back between the two statements, they are
// left alone.
func (b *Batch) scanClaimed(results pgx.BatchResults, partition, limit int) error {
	rows, _ := results.Query() // ForEachRow returns the error of the query
	r := scannedRecord{Place: event.Place{Partition: partition}}
	_, mine := b.cursors[partition]
	n := 0
	_, err := pgx.ForEachRow(rows, r.columns(), func() error {
		if !mine {
			return nil
		}
		if n++; n == min(100, limit) { // most likely there are as many as may be: one room for them costs less than many that grow
			b.records = slices.Grow(b.records, limit-n+1)
		}
		return b.add(&r)
	})
	return wrap(qClaimedEvents.Name, err)
}

// scannedRecord is the destination of a row of the log.
type scannedRecord struct {
	event.Place
	source, typ      repeated
	id, subject      string
	data             []byte
	metadata         *string
	time, recordedAt time.Time
}

// repeated is text that is often that of the row before, and then keeps its memory.
type repeated string

// ScanBytes implements pgtype.BytesScanner.
func (s *repeated) ScanBytes(text []byte) error {
	if string(text) != string(*s) {
		*s = repeated(text)
	}
	return nil
}

func (r *scannedRecord) columns() []any {
	return []any{&r.Position, &r.source, &r.id, &r.typ, &r.subject, &r.time, &r.data, &r.metadata, &r.recordedAt}
}

func (b *Batch) add(r *scannedRecord) error {
	rec := event.Record{
		Event: event.Event{Source: string(r.source), ID: r.id, Type: string(r.typ), Subject: r.subject, Time: r.time.UTC()},
		Topic: b.topic, Partition: r.Partition, Position: r.Position, RecordedAt: r.recordedAt.UTC(),
	}
	if err := storage.DecodeRecord(&rec.Event, r.data, r.metadata); err != nil {
		return err
	}
	b.records = append(b.records, rec)
	return nil
}

func (b *Batch) scanBlocked(results pgx.BatchResults) error {
	rows, _ := results.Query() // ForEachRow returns the error of the query
	var subject string
	_, err := pgx.ForEachRow(rows, []any{&subject}, func() error {
		b.blocked[subject] = true
		return nil
	})
	return wrap(qBlockedSubjects.Name, err)
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

// Blocked implements event.Batch.
func (b *Batch) Blocked() map[string]bool { return b.blocked }

// Waited implements event.Batch.
func (b *Batch) Waited() time.Duration { return b.waited }

// Park implements event.Batch.
func (b *Batch) Park(r event.Record, cause string, attempts int) {
	p := &b.parked
	p.partitions = append(p.partitions, int32(r.Partition)) // 0 to 63
	p.positions = append(p.positions, r.Position)
	p.subjects = append(p.subjects, r.Subject)
	p.errors = append(p.errors, cause)
	p.attempts = append(p.attempts, int32(min(attempts, 1<<30))) // bounded
}

// Note implements event.Batch.
func (b *Batch) Note(a event.ParkedAction) { b.actions = append(b.actions, a) }

// Commit implements event.Batch.
func (b *Batch) Commit(ctx context.Context, upTo map[int]int64) error {
	if b.subject != "" {
		p := event.Partition(b.subject)
		b.queue(qUnparkEvents, b.topic, b.group, p, b.subject, upTo[p])
	} else {
		partitions := slices.Sorted(maps.Keys(upTo))
		at := func(by map[int]int64) []int64 { return column(partitions, func(p int) int64 { return by[p] }) }
		b.queue(qMoveCursors, b.topic, b.group, partitions, at(upTo), at(b.eras))
	}
	if p := b.parked; len(p.positions) > 0 {
		b.queue(qParkEvents, b.topic, b.group, p.partitions, p.positions, p.subjects, p.errors, p.attempts)
	}
	for _, a := range b.actions {
		b.queue(qNoteAction, b.topic, b.group, b.subject, a.Action, a.Actor, a.Reason, a.First, a.Last, a.Events, a.Error)
	}
	b.queue(qCommitBatch)
	if err := b.sendAll(ctx); err != nil {
		b.Rollback()
		return err
	}
	b.conn.Release()
	b.conn = nil
	return nil
}

// Rollback implements event.Batch.
func (b *Batch) Rollback() {
	if b.conn == nil {
		return
	}
	if pg := b.conn.Conn().PgConn(); !pg.IsClosed() && pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		b.conn.Exec(ctx, qRollbackBatch.SQL) //nolint:errcheck // a connection that fails here is closed by Release
	}
	b.conn.Release()
	b.conn = nil
}
