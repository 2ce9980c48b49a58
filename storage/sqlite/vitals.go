package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/safebox/safebox/storage"
)

var qVitals = queries.Get("vitals")

// Vitals implements storage.DB.
func (db *DB) Vitals(ctx context.Context) (storage.Vitals, error) {
	v := storage.Vitals{SQLite: storage.FileVitals{Path: db.path}}
	if err := db.queryRow(ctx, qVitals, nil, &v.Server, &v.Bytes); err != nil {
		return v, err
	}
	file, err := os.Stat(db.path)
	if err != nil {
		return v, unwritable(db.path, err)
	}
	folder, err := os.Stat(filepath.Dir(db.path))
	if err != nil {
		return v, unwritable(db.path, err)
	}
	v.SQLite.Others = file.Mode().Perm()&0o077 != 0 && folder.Mode().Perm()&0o011 != 0
	switch log, err := os.Stat(db.path + "-wal"); {
	case err == nil:
		v.SQLite.Log = log.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return v, unwritable(db.path, err)
	}
	lookAtVolume(db.path, &v.SQLite)
	return v, nil
}

// Connections implements storage.DB: nobody can know.
func (db *DB) Connections(context.Context) (map[string]storage.Connections, error) { return nil, nil }
