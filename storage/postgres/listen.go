package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenRetry is the pause after a LISTEN connection was lost or could not be made. Readers poll meanwhile.
const listenRetry = time.Second

// Changes implements event.Log by a LISTEN on a connection of its own to the server itself.
func (db *DB) Changes(ctx context.Context, topic string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		for ctx.Err() == nil {
			err := db.listen(ctx, topic, changes)
			if ctx.Err() != nil {
				return
			}
			db.log.DebugContext(ctx, "not listening for events; polling until the connection is back", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(listenRetry):
			}
		}
	}()
	return changes
}

func (db *DB) listen(ctx context.Context, topic string, changes chan<- struct{}) error {
	conn, err := pgx.ConnectConfig(ctx, db.direct.Copy())
	if err != nil {
		return wrap(qListenEvents.Name, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing) //nolint:errcheck // nothing depends on it
	}()
	if _, err := conn.Exec(ctx, qListenEvents.SQL); err != nil {
		return wrap(qListenEvents.Name, err)
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return wrap(qListenEvents.Name, err)
		}
		if n.Payload != topic {
			continue
		}
		select {
		case changes <- struct{}{}:
		default: // one is waiting already
		}
	}
}
