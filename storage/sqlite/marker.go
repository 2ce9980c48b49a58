package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

var (
	qInitMarkerExists = queries.Get("init_marker_exists")
	qInitMarker       = queries.Get("init_marker")
)

// markerTime is the form of the marker's times.
const markerTime = "2006-01-02T15:04:05.000000Z"

type query = storage.Query

// marker reads the ready marker through the pool of readers.
type marker struct{ db *DB }

// Marker implements storage.DB.
func (db *DB) Marker() initlock.Marker { return marker{db} }

// Read implements initlock.Marker. It looks for the table first, because SQLite has no error code of its own for a table
// that is not there.
func (m marker) Read(ctx context.Context) (initlock.Record, error) {
	return readMarker(func(q query, dest ...any) error { return m.db.queryRow(ctx, q, nil, dest...) })
}

// Changed implements initlock.Marker: SQLite cannot tell, and looking costs microseconds.
func (m marker) Changed(context.Context) <-chan struct{} { return nil }

func readMarker(queryRow func(q query, dest ...any) error) (r initlock.Record, err error) {
	var exists int
	if err := queryRow(qInitMarkerExists, &exists); err != nil || exists == 0 {
		return initlock.Record{}, err
	}
	var started, finished string
	err = queryRow(qInitMarker, &r.State, &r.Epoch, &r.Digest, &r.Holder, &r.Activity, &r.Revision, &r.OldestCompatible,
		&started, &finished, &r.Error, &r.Code)
	if errors.Is(err, sql.ErrNoRows) {
		return initlock.Record{}, nil
	}
	if err != nil {
		return initlock.Record{}, err
	}
	if r.StartedAt, err = markerMoment("started_at", started); err != nil {
		return initlock.Record{}, err
	}
	r.FinishedAt, err = markerMoment("finished_at", finished)
	return r, err
}

func markerMoment(column, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(markerTime, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("safebox_init.%s is %q, which is no time like %s: somebody wrote to the table", column, text, markerTime)
	}
	return t, nil
}
