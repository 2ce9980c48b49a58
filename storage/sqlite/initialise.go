package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/safebox/safebox/initlock"
)

// Initialise implements storage.DB. The *sql.DB that the work gets is one connection for writing. A file on a network
// file system is refused.
func (db *DB) Initialise(ctx context.Context, o initlock.Options, work func(context.Context, *sql.DB) error) (initlock.Result, error) {
	if err := refuseNetwork(db.path); err != nil {
		return initlock.Result{Outcome: initlock.OutcomeFailed}, err
	}
	if o.Name == "" {
		o.Name = db.options.Instance
	}
	if o.Logger == nil {
		o.Logger = db.log
	}
	return initlock.Run(ctx, locker{db}, db.Marker(), o, func(ctx context.Context, held initlock.Lease) error {
		return work(ctx, held.(*lease).session) // locker makes no other
	})
}

// Inspect implements storage.DB, on a connection that refuses to write.
func (db *DB) Inspect(ctx context.Context, read func(context.Context, *sql.DB) error) error {
	one, err := db.connect()
	if err != nil {
		return wrap(stmtOpen, err)
	}
	one.SetMaxOpenConns(1)
	return errors.Join(read(ctx, one), one.Close())
}
