package sqlite

import (
	"context"

	"github.com/safebox/safebox/storage"
)

// Election implements storage.DB. Who waits reads the file now and then, which leaves no trace: the waiters are unknown.
func (db *DB) Election(ctx context.Context) (storage.Election, error) {
	holder, held, err := locker{db}.Holder(ctx)
	return storage.Election{Held: held, Holder: holder}, err
}
