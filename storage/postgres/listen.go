package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// listenRetry is the pause after a LISTEN connection was lost or could not be made. Readers poll meanwhile.
const listenRetry = time.Second

// Changes implements event.Log by a LISTEN on a connection of its own to the server itself.
func (db *DB) Changes(ctx context.Context, topic string) <-chan event.Positions {
	changes := event.NewNews()
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

func (db *DB) listen(ctx context.Context, topic string, changes event.News) error {
	return hear(ctx, db.direct.Copy(), qListenEvents,
		func() { changes.Put(event.Positions{}) }, // nobody was told of what came while nobody listened
		func(payload string) {
			if heads, ours := readAnnouncement(payload, topic); ours {
				changes.Put(heads)
			}
		})
}

// hear listens on a connection of its own until that is lost or the context ends: once it is heard what comes, it calls
// listening, and heard with each payload.
func hear(ctx context.Context, c *pgx.ConnConfig, listen storage.Query, listening func(), heard func(payload string)) error {
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return wrap(listen.Name, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing) //nolint:errcheck // nothing depends on it
	}()
	if _, err := conn.Exec(ctx, listen.SQL); err != nil {
		return wrap(listen.Name, err)
	}
	listening()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return wrap(listen.Name, err)
		}
		heard(n.Payload)
	}
}

// announcement is the payload of a notification: the topic behind the partitions that have something new with their last
// positions, as in "5:12,40:7 wallet". With all partitions it takes up to 1,500 bytes of the 8,000 that there may be.
func announcement(topic string, heads event.Positions) string {
	var b strings.Builder
	for p, head := range heads {
		if head == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d", p, head)
	}
	return b.String() + " " + topic
}

// readAnnouncement reads a payload. Positions that cannot be read are left out: the reader looks for itself.
func readAnnouncement(payload, topic string) (heads event.Positions, ours bool) {
	list, of, _ := strings.Cut(payload, " ")
	if of != topic {
		return heads, false
	}
	for _, one := range strings.Split(list, ",") {
		partition, head, _ := strings.Cut(one, ":")
		p, err := strconv.Atoi(partition)
		n, bad := strconv.ParseInt(head, 10, 64)
		if err != nil || bad != nil || p < 0 || p >= event.Partitions || n < 0 {
			return event.Positions{}, true
		}
		heads[p] = n
	}
	return heads, true
}
