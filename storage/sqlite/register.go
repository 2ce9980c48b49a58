package sqlite

import (
	"context"

	"github.com/safebox/safebox/storage"
)

func init() {
	open := func(ctx context.Context, o storage.Options) (storage.DB, error) {
		db, err := Open(ctx, o)
		if err != nil {
			return nil, err
		}
		return db, nil
	}
	storage.Register(storage.SQLite, open, statementNames())
}
