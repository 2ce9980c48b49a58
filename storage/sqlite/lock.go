package sqlite

import (
	"context"
	"errors"

	"github.com/safebox/safebox/initlock"
)

// locker takes the initialisation lock: flock on a file beside the database, and on the database.
type locker struct{ db *DB }

// TryLock implements initlock.Locker.
func (l locker) TryLock(ctx context.Context, name string) (initlock.Lease, error) {
	f, err := tryLockFile(l.db.path, name)
	if err != nil {
		return nil, err
	}
	if err := f.tell(""); err != nil {
		return nil, errors.Join(lockFileError(f.path, err), f.unlock())
	}
	session, err := l.db.openOne(ctx)
	if err != nil {
		return nil, errors.Join(err, f.unlock())
	}
	if err := f.alsoOn(l.db.path); err != nil {
		return nil, errors.Join(err, session.Close(), f.unlock())
	}
	return &lease{db: l.db, file: f, session: session, stmts: &statements{on: session}}, nil
}

// Holder implements initlock.Locker.
func (l locker) Holder(context.Context) (initlock.Holder, bool, error) { return readHolder(l.db.path) }
