package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/safebox/safebox/initlock"
)

// Initialise implements storage.DB. The *sql.DB that the work gets is the session that holds the lock: when that session
// dies every further statement is ErrLockLost.
func (db *DB) Initialise(ctx context.Context, o initlock.Options, work func(context.Context, *sql.DB) error) (initlock.Result, error) {
	if o.Name == "" {
		o.Name = db.options.Instance
	}
	if o.Logger == nil {
		o.Logger = db.log
	}
	return initlock.Run(ctx, locker{db}, db.Marker(), o, func(ctx context.Context, held initlock.Lease) error {
		l := held.(*lease) // locker makes no other
		return l.blame(ctx, work(ctx, l.session))
	})
}

// Inspect implements storage.DB, on a session of its own to the server itself that refuses to write.
func (db *DB) Inspect(ctx context.Context, read func(context.Context, *sql.DB) error) error {
	c := schemaConfig(db.direct, applicationName(db.options.Role, db.options.Instance))
	c.RuntimeParams["default_transaction_read_only"] = "on"
	session := oneConnection(stdlib.GetConnector(*c))
	return errors.Join(read(ctx, session), session.Close())
}
