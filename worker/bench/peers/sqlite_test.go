package peers

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/event"
)

// measureSQLite drains a workload on a new SQLite file, and then drains the same events again by hand.
func measureSQLite(ctx context.Context, tb testing.TB, s bench.Shape) (engine, hand bench.Timing, err error) {
	url := dbtest.SQLite(tb)
	c := cluster(tb, url)
	if err = c.Open(ctx, s, nil); err != nil {
		return engine, hand, err
	}
	if _, err = c.Append(ctx, s.Activity(), nil); err != nil {
		return engine, hand, err
	}
	if engine, err = c.Drain(ctx, s.Events, nil); err != nil {
		return engine, hand, err
	}
	if _, err = c.Audit(ctx, s.Opened()+s.Events); err != nil {
		return engine, hand, err
	}
	u, err := storage.ParseURL(url)
	if err != nil {
		return engine, hand, err
	}
	hand, err = sqliteByHand(ctx, u.Path, s)
	return engine, hand, err
}

// sqliteByHand drains the activity of a file that is drained already, once more: on one connection, with the engine's own
// statements, prepared once, and in batches of the same size, but every answer is known beforehand. What the first drain
// wrote is deleted before the clock starts.
func sqliteByHand(ctx context.Context, path string, s bench.Shape) (t bench.Timing, err error) {
	db, err := driver.Open("file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(on)")
	if err != nil {
		return t, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	h := hand{ctx: ctx, db: db, stmts: map[string]*sql.Stmt{}}
	batches, err := h.plan(s.Opened())
	if err != nil {
		return t, err
	}
	h.exec("DELETE FROM ledger_entry WHERE (partition, position) IN (SELECT partition, position FROM event_log WHERE "+activity+")", s.Opened())
	h.exec("DELETE FROM paymentquote")
	h.rows("PRAGMA wal_checkpoint(TRUNCATE)")
	began := time.Now()
	for _, b := range batches {
		h.batch(b)
		t.Events += b.events
	}
	t.Took = time.Since(began)
	if h.err == nil && t.Events != s.Events {
		h.err = fmt.Errorf("the drain by hand found %d events instead of %d", t.Events, s.Events)
	}
	return t, h.err
}

// activity selects what is not the opening of the wallets, by the number in the id.
const activity = "CAST(substr(id, 3) AS integer) >= ?1"

// hand runs statements until one fails.
type hand struct {
	ctx   context.Context
	db    *sql.DB
	stmts map[string]*sql.Stmt
	err   error
}

// handBatch is what the engine reads and writes for one batch.
type handBatch struct {
	partition, after, upTo  int64
	events                  int
	npubs, quotes           []string
	moved, entries, created [][]any // the arguments of each row
	settled                 []string
}

func (h *hand) prepared(query string) *sql.Stmt {
	if st := h.stmts[query]; st != nil || h.err != nil {
		return st
	}
	st, err := h.db.PrepareContext(h.ctx, query)
	if err != nil {
		h.err = fmt.Errorf("%s: %w", query, err)
		return nil
	}
	h.stmts[query] = st
	return st
}

func (h *hand) exec(query string, args ...any) {
	if st := h.prepared(query); st != nil && h.err == nil { //nolint:sqlclosecheck // kept for the next batch
		if _, err := st.ExecContext(h.ctx, args...); err != nil {
			h.err = fmt.Errorf("%s: %w", query, err)
		}
	}
}

// rows reads what a query finds, to the last column.
func (h *hand) rows(query string, args ...any) (all [][]any) {
	st := h.prepared(query) //nolint:sqlclosecheck // kept for the next batch
	if st == nil || h.err != nil {
		return nil
	}
	found, err := st.QueryContext(h.ctx, args...)
	if err != nil {
		h.err = fmt.Errorf("%s: %w", query, err)
		return nil
	}
	defer found.Close()
	names, err := found.Columns()
	for err == nil && found.Next() {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err = found.Scan(into...); err == nil {
			all = append(all, row)
		}
	}
	if err == nil {
		err = found.Err()
	}
	if err != nil {
		h.err = fmt.Errorf("%s: %w", query, err)
	}
	return all
}

// batchSize is the most events in a batch: as many as the engine's.
const batchSize = 500

// plan cuts the activity into batches, partition by partition, and collects what each reads and writes.
func (h *hand) plan(opened int) ([]handBatch, error) {
	ids := map[any]any{}
	for _, w := range h.rows("SELECT npub, id FROM registeredsafebox") {
		ids[w[0]] = w[1]
	}
	handles := map[any]any{}
	for _, w := range h.rows("SELECT npub, handle FROM registeredsafebox") {
		handles[w[0]] = w[1]
	}
	var all []handBatch
	var b *handBatch
	var last map[any][]any // by npub: what its wallet is moved to
	finish := func() {
		for npub, to := range last {
			b.npubs = append(b.npubs, npub.(string))
			b.moved = append(b.moved, append([]any{ids[npub]}, to...))
		}
	}
	for _, e := range h.rows(`
		SELECT l.partition, l.position, l.type, l.subject, l.data, e.leg, e.subject, e.seq, e.outcome, e.reason, e.amount, e.fee, e.balance, e.at
		FROM event_log l JOIN ledger_entry e USING (partition, position) WHERE `+activity+` ORDER BY l.partition, l.position, e.leg`, opened) {
		partition, position, typ, leg := e[0].(int64), e[1].(int64), e[2].(string), e[5].(int64)
		if b == nil || b.partition != partition || leg == 0 && b.events == batchSize {
			if b != nil {
				finish()
			}
			all = append(all, handBatch{partition: partition, after: position - 1})
			b, last = &all[len(all)-1], map[any][]any{}
		}
		b.entries = append(b.entries, []any{partition, position, leg, e[6], e[7], typ, e[8], e[9], e[10], e[11], e[12], e[13]})
		last[e[6]] = []any{e[12], e[7]}
		if leg > 0 {
			continue
		}
		b.events, b.upTo = b.events+1, position
		var d struct {
			Quote, Mint string
			Amount      int64
		}
		if typ != event.TypeQuoteCreated && typ != event.TypeQuotePaid {
			continue
		}
		if err := json.Unmarshal([]byte(fmt.Sprint(e[4])), &d); err != nil {
			return nil, err
		}
		b.quotes = append(b.quotes, d.Quote)
		if typ == event.TypeQuoteCreated {
			b.created = append(b.created, []any{handles[e[3]], d.Quote, d.Amount, d.Mint, false, e[3]})
		} else {
			b.settled = append(b.settled, d.Quote)
		}
	}
	if b != nil {
		finish()
	}
	return all, h.err
}

// batch is a batch of the engine, statement by statement.
func (h *hand) batch(b handBatch) {
	h.exec("BEGIN IMMEDIATE")
	h.rows("SELECT position FROM event_cursor WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3", event.Topic, "ledger", b.partition)
	h.rows(`SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
		FROM event_log WHERE topic = ?1 AND partition = ?2 AND position > ?3 ORDER BY position LIMIT ?4`, event.Topic, b.partition, b.after, b.events)
	h.rows("SELECT DISTINCT subject FROM parked_event WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3", event.Topic, "ledger", b.partition)
	h.rows(`SELECT id, npub, handle, custom_handle, owner, home_relay, onboard_code, access_key, emergency_code, currency_code,
		balance, opening_balance, entry_count FROM registeredsafebox WHERE npub IN (SELECT value FROM json_each(?1))`, list(b.npubs))
	ids := map[any]any{}
	for _, q := range h.rows(`SELECT id, coalesce(npub, ''), handle, quote, amount, mint, paid FROM paymentquote
		WHERE quote IN (SELECT value FROM json_each(?1)) ORDER BY id`, list(b.quotes)) {
		ids[q[3]] = q[0]
	}
	for _, w := range b.moved {
		h.exec("UPDATE registeredsafebox SET balance = ?2, entry_count = ?3 WHERE id = ?1", w...)
	}
	for _, q := range b.created {
		h.exec("INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub) VALUES ('', ?1, ?2, ?3, ?4, ?5, ?6)", q...)
	}
	for _, q := range b.settled {
		if id := ids[q]; id != nil {
			h.exec("UPDATE paymentquote SET paid = 1 WHERE id = ?1", id)
		}
	}
	for _, e := range b.entries {
		h.exec(`INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, reason, amount, fee, balance, at)
			VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7, nullif(?8, ''), ?9, ?10, ?11, ?12)`, e...)
	}
	h.exec("UPDATE event_cursor SET position = ?4 WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3",
		event.Topic, "ledger", b.partition, b.upTo)
	h.exec("COMMIT")
}

// list is a JSON array for json_each.
func list(of []string) string {
	b, err := json.Marshal(of)
	if err != nil || of == nil {
		return "[]"
	}
	return string(b)
}

func TestSQLiteByHandDrainsTheSameEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := bench.Shape{Events: 1500, Wallets: 20, Seed: 1}
	engine, hand, err := measureSQLite(ctx, t, s)
	must(t, err)
	if engine.Events != s.Events || hand.Events != s.Events || hand.Took <= 0 {
		t.Errorf("the engine drained %+v, by hand %+v", engine, hand)
	}
}
