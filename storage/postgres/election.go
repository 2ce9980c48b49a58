package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
)

var qInitWaiters = queries.Get("init_waiters")

// Election implements storage.DB. Who waits for the marker to change listens on a session that is named after it, also
// where the pool's own sessions are a pooler's.
func (db *DB) Election(ctx context.Context) (storage.Election, error) {
	holder, held, err := locker{db}.Holder(ctx)
	if err != nil {
		return storage.Election{}, err
	}
	e := storage.Election{Held: held, Holder: holder, Waiters: []string{}}
	rows, err := db.query(ctx, qInitWaiters, applicationName(roleWait, "")+"/")
	if err != nil {
		return e, err
	}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
		e.Waiters = append(e.Waiters, name)
		return nil
	})
	return e, wrap(qInitWaiters.Name, err)
}
