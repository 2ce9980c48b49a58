package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
)

var (
	qVitals      = queries.Get("vitals")
	qConnections = queries.Get("connections")
)

// Vitals implements storage.DB, on a session of its own to the server itself: what a pooler's session has set says nothing of
// ours. Where a pooler answers there, the error is a *PoolerError.
func (db *DB) Vitals(ctx context.Context) (storage.Vitals, error) {
	c, err := pgx.ConnectConfig(ctx, db.direct)
	if err != nil {
		if fatal := db.fatal(err, db.direct); fatal != nil {
			return storage.Vitals{}, fatal
		}
		return storage.Vitals{}, &storage.Error{Statement: stmtConnect, Class: connectClass(err), Err: sanitize(err)}
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Close(closing) //nolint:errcheck // it only read
	}()
	if err := (locker{db}).checkSession(ctx, c); err != nil {
		return storage.Vitals{}, err
	}
	var text string
	if err := ask(ctx, c, qVitals, &text); err != nil {
		return storage.Vitals{}, err
	}
	told := struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
		storage.ServerVitals
	}{}
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		return storage.Vitals{}, fmt.Errorf("statement %s: %w", qVitals.Name, err)
	}
	told.Pooled = pooled(db.options)
	return storage.Vitals{Server: told.Name, Bytes: told.Bytes, PostgreSQL: told.ServerVitals}, nil
}

// Connections implements storage.DB.
func (db *DB) Connections(ctx context.Context) (map[string]storage.Connections, error) {
	rows, err := db.query(ctx, qConnections)
	if err != nil {
		return nil, err
	}
	all := map[string]storage.Connections{}
	var instance string
	var c storage.Connections
	_, err = pgx.ForEachRow(rows, []any{&instance, &c.Open, &c.Busy}, func() error {
		all[instance] = c
		return nil
	})
	return all, wrap(qConnections.Name, err)
}
