package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

var (
	qInitMarkerExists = queries.Get("init_marker_exists")
	qInitMarker       = queries.Get("init_marker")

	qInitAlembicVersionExists = queries.Get("init_alembic_version_exists")
	qInitAlembicVersion       = queries.Get("init_alembic_version")
)

// marker reads the ready marker through the pool of readers.
type marker struct{ db *DB }

// Marker implements storage.DB.
func (db *DB) Marker() initlock.Marker { return marker{db} }

// Read implements initlock.Marker. It looks for the table first, because SQLite has no error code of its own for a table
// that is not there.
func (m marker) Read(ctx context.Context) (initlock.Record, error) {
	return readMarker(func(q storage.Query, dest ...any) error { return m.db.queryRow(ctx, q, nil, dest...) })
}

// Changed implements initlock.Marker: SQLite cannot tell, and looking costs microseconds.
func (m marker) Changed(context.Context) <-chan struct{} { return nil }

// AlembicVersion implements storage.DB; it looks for the table first, as Read does.
func (db *DB) AlembicVersion(ctx context.Context) ([]string, error) {
	var exists int
	if err := db.queryRow(ctx, qInitAlembicVersionExists, nil, &exists); err != nil || exists == 0 {
		return nil, err
	}
	return collect(ctx, db, qInitAlembicVersion, func(scan func(...any) error) (v string, err error) {
		err = scan(&v)
		return v, err
	})
}

func readMarker(queryRow func(q storage.Query, dest ...any) error) (r initlock.Record, err error) {
	var exists int
	if err := queryRow(qInitMarkerExists, &exists); err != nil || exists == 0 {
		return initlock.Record{}, err
	}
	var started, finished moment
	err = queryRow(qInitMarker, &r.State, &r.Epoch, &r.Digest, &r.Holder, &r.Activity, &r.Revision, &r.OldestCompatible,
		&started, &finished, &r.Error, &r.Code)
	if errors.Is(err, sql.ErrNoRows) {
		return initlock.Record{}, nil
	}
	if err != nil {
		return initlock.Record{}, err
	}
	r.StartedAt, r.FinishedAt = started.Time, finished.Time
	return r, nil
}
