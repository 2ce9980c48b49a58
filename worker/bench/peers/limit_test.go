package peers

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// setBased writes the rows that a drain has made again, into the same tables without them, by one statement in one
// transaction, and tells how long that took: the least that writing them can cost.
func setBased(ctx context.Context, url string) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, setBasedBefore); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = conn.Exec(ctx, setBasedStatement)
	return time.Since(began), err
}

// The activity of the workload happens after the opening of the wallets, which stays.
const setBasedBefore = `
CREATE TEMPORARY TABLE activity AS SELECT min(time) AS begins FROM bench_queue;
CREATE TEMPORARY TABLE entries AS SELECT * FROM ledger_entry WHERE at >= (SELECT begins FROM activity);
CREATE TEMPORARY TABLE quotes AS SELECT * FROM paymentquote;
CREATE TEMPORARY TABLE wallets AS SELECT id, balance, entry_count FROM registeredsafebox;
DELETE FROM ledger_entry WHERE at >= (SELECT begins FROM activity);
DELETE FROM paymentquote;
UPDATE registeredsafebox SET balance = 0;
UPDATE event_cursor SET position = 0`

const setBasedStatement = `
WITH entry AS (INSERT INTO ledger_entry SELECT * FROM entries ORDER BY partition, position, leg),
     quote AS (INSERT INTO paymentquote SELECT * FROM quotes),
     wallet AS (UPDATE registeredsafebox w SET balance = i.balance, entry_count = i.entry_count FROM wallets i WHERE w.id = i.id)
UPDATE event_cursor c SET position = (SELECT max(position) FROM event_log l WHERE l.topic = c.topic AND l.partition = c.partition)`

// copied are the rows of the log's activity, as COPY writes and reads them.
func copied(ctx context.Context, url string) ([]byte, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var rows bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &rows, `
		COPY (SELECT l.* FROM event_log l WHERE l.time >= (SELECT min(time) FROM bench_queue) ORDER BY l.recorded_at) TO STDOUT`)
	return rows.Bytes(), err
}

// copyIn writes rows into the log by one COPY, and tells how long it took and how many there were.
func copyIn(ctx context.Context, url string, rows []byte) (took time.Duration, n int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	began := time.Now()
	tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(rows), "COPY event_log FROM STDIN")
	return time.Since(began), int(tag.RowsAffected()), err
}
