package postgres

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/safebox/safebox/initlock"
)

var (
	qInitMarker       = queries.Get("init_marker")
	qInitMarkerExists = queries.Get("init_marker_exists")
	qInitListen       = queries.Get("init_listen")

	qInitAlembicVersion = queries.Get("init_alembic_version")
)

// roleWait stands in the application_name of the session that listens for the marker: safebox/wait/<instance>.
const roleWait = "wait"

// listenAfter is how long a waiter polls before it opens a connection for LISTEN: where fifty replicas wait for a leader
// that is done in a moment, fifty more connections would only be in its way.
const listenAfter = 5 * time.Second

// stateUndefinedTable is the SQLSTATE of a table that is not there.
const stateUndefinedTable = "42P01"

// marker reads the ready marker through the pool.
type marker struct {
	db     *DB
	absent atomic.Bool // when last read
}

// Marker implements storage.DB.
func (db *DB) Marker() initlock.Marker { return &marker{db: db} }

// Read implements initlock.Marker: one statement. An absent table costs an error once; as long as it stays absent it is
// asked for by name before it is read, so that a waiter does not fill the server's log with errors.
func (m *marker) Read(ctx context.Context) (initlock.Record, error) {
	if m.absent.Load() {
		var exists bool
		if err := m.db.queryRow(ctx, qInitMarkerExists, nil, &exists); err != nil || !exists {
			return initlock.Record{}, err
		}
		m.absent.Store(false)
	}
	rec, err := scanMarker(func(dest ...any) error { return m.db.queryRow(ctx, qInitMarker, nil, dest...) })
	if undefinedTable(err) {
		m.absent.Store(true)
		return initlock.Record{}, nil
	}
	return rec, err
}

func undefinedTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == stateUndefinedTable
}

// scanMarker reads the marker's row; without a row the marker is absent.
func scanMarker(scan func(dest ...any) error) (initlock.Record, error) {
	var r initlock.Record
	var finished *time.Time
	err := scan(&r.State, &r.Epoch, &r.Digest, &r.Holder, &r.Activity, &r.Revision, &r.OldestCompatible, &r.StartedAt, &finished,
		&r.Error, &r.Code)
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		return initlock.Record{}, nil
	}
	if err != nil {
		return initlock.Record{}, err
	}
	if finished != nil {
		r.FinishedAt = *finished
	}
	return r, nil
}

// AlembicVersion implements storage.DB.
func (db *DB) AlembicVersion(ctx context.Context) ([]string, error) {
	versions, err := collect(ctx, db, qInitAlembicVersion, func(rows pgx.Rows) (v string, err error) {
		err = rows.Scan(&v)
		return v, err
	})
	if undefinedTable(err) || err == nil && len(versions) == 0 {
		return nil, nil
	}
	return versions, err
}

// Changed implements initlock.Marker. Where the server cannot be listened to the channel closes, and polling goes on.
func (m *marker) Changed(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		patience := time.NewTimer(listenAfter)
		defer patience.Stop()
		select {
		case <-ctx.Done():
			return
		case <-patience.C:
		}
		if err := m.listen(ctx, changed); err != nil && ctx.Err() == nil {
			m.db.log.DebugContext(ctx, "not listening for the ready marker; polling", "error", err)
		}
	}()
	return changed
}

func (m *marker) listen(ctx context.Context, changed chan<- struct{}) error {
	c := m.db.direct.Copy()
	c.RuntimeParams["application_name"] = applicationName(roleWait, m.db.options.Instance)
	nudge := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	// The first nudge is for what changed before anyone listened.
	return hear(ctx, c, qInitListen, nudge, func(string) { nudge() })
}
