package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/event"
)

// onSQLite is a drain of the engine, and what the same rows cost without it, on the file that it drained.
type onSQLite struct {
	engine   bench.Timing
	hand     bench.Timing // the engine's statements, with its parameters and in its batches
	setBased bench.Timing // the same rows by one statement a table, in one transaction
}

// fillSQLite makes a file whose log has the activity of a shape, which is not processed yet.
func fillSQLite(ctx context.Context, tb testing.TB, url string, s bench.Shape) error {
	c := cluster(tb, url)
	if err := c.Open(ctx, s, nil); err != nil {
		return err
	}
	_, err := c.Append(ctx, s.Activity(), nil)
	return err
}

// measureSQLite drains a workload on a new SQLite file, and then drains the same events again by hand, in two ways.
func measureSQLite(ctx context.Context, tb testing.TB, s bench.Shape) (m onSQLite, err error) {
	url := dbtest.SQLite(tb)
	c := cluster(tb, url)
	c.Batch = batchSize
	if err = fillSQLite(ctx, tb, url, s); err != nil {
		return m, err
	}
	if m.engine, err = c.Drain(ctx, s.Events, nil); err != nil {
		return m, err
	}
	if _, err = c.Audit(ctx, s.Opened()+s.Events); err != nil {
		return m, err
	}
	u, err := storage.ParseURL(url)
	if err != nil {
		return m, err
	}
	if m.hand, err = sqliteByHand(ctx, u.Path, s); err != nil {
		return m, err
	}
	if _, err = c.Audit(ctx, s.Opened()+s.Events); err != nil {
		return m, err
	}
	m.setBased, err = sqliteSetBased(ctx, u.Path, s)
	if err != nil {
		return m, err
	}
	_, err = c.Audit(ctx, s.Opened()+s.Events)
	return m, err
}

// sqliteByHand drains the activity of a file that is drained already, once more: on one connection that is set up as the
// engine's, on SQLite's own interface, with the engine's own statements, prepared once, and in batches of the same size, but
// every answer is known beforehand. What the first drain wrote is deleted before the clock starts.
func sqliteByHand(ctx context.Context, path string, s bench.Shape) (t bench.Timing, err error) {
	h, err := openHand(ctx, path)
	if err != nil {
		return t, err
	}
	defer h.conn.Close()
	batches, err := h.plan(s.Opened())
	if err != nil {
		return t, err
	}
	h.undo(s.Opened())
	began := time.Now()
	for _, b := range batches {
		h.batch(b)
		t.Events += b.events
	}
	t.Took = time.Since(began)
	h.close()
	if h.err == nil && t.Events != s.Events {
		h.err = fmt.Errorf("the drain by hand found %d events instead of %d", t.Events, s.Events)
	}
	return t, h.err
}

// sqliteSetBased writes the rows that a drain has made again, into the same tables without them: the least that writing them
// can cost. It reads no event and no wallet, and decides nothing.
func sqliteSetBased(ctx context.Context, path string, s bench.Shape) (t bench.Timing, err error) {
	h, err := openHand(ctx, path)
	if err != nil {
		return t, err
	}
	defer h.conn.Close()
	for _, query := range []string{
		"PRAGMA temp_store = MEMORY",
		"CREATE TEMPORARY TABLE entries AS SELECT * FROM ledger_entry WHERE (partition, position) IN (SELECT partition, position FROM event_log WHERE CAST(substr(id, 3) AS integer) >= " + fmt.Sprint(s.Opened()) + ") ORDER BY partition, position, leg",
		"CREATE TEMPORARY TABLE quotes AS SELECT * FROM paymentquote",
		"CREATE TEMPORARY TABLE wallets AS SELECT id, balance, entry_count FROM registeredsafebox",
	} {
		h.exec(query)
	}
	h.undo(s.Opened())
	began := time.Now()
	for _, query := range []string{
		"BEGIN IMMEDIATE",
		"INSERT INTO ledger_entry SELECT * FROM entries",
		"INSERT INTO paymentquote SELECT * FROM quotes",
		"UPDATE registeredsafebox AS r SET balance = w.balance, entry_count = w.entry_count FROM wallets AS w WHERE r.id = w.id",
		`UPDATE event_cursor AS c SET position = l.position FROM (SELECT topic, partition, max(position) AS position FROM event_log GROUP BY 1, 2) AS l
			WHERE l.topic = c.topic AND l.partition = c.partition`,
		"COMMIT",
	} {
		h.exec(query)
	}
	t = bench.Timing{Events: s.Events, Took: time.Since(began)}
	h.close()
	return t, h.err
}

// activity selects what is not the opening of the wallets, by the number in the id.
const activity = "CAST(substr(id, 3) AS integer) >= ?1"

// hand runs statements until one fails.
type hand struct {
	conn  *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
	err   error
}

// enginesOwn are the statements of the engine.
var enginesOwn = storage.MustLoad(os.DirFS("../../../storage/sqlite"))

// openHand opens a connection that is set up as the engine's writer is.
func openHand(ctx context.Context, path string) (*hand, error) {
	conn, err := sqlite3.OpenContext(ctx, "file:"+path)
	if err != nil {
		return nil, err
	}
	h := &hand{conn: conn, stmts: map[string]*sqlite3.Stmt{}}
	for _, pragma := range []string{"busy_timeout=5000", "foreign_keys=ON", "cache_size=-32768", "wal_autocheckpoint=4000", "synchronous=FULL"} {
		h.exec("PRAGMA " + pragma)
	}
	return h, h.err
}

func (h *hand) close() {
	for _, st := range h.stmts {
		_ = st.Close()
	}
}

// undo deletes what a drain of the activity has written, and empties the write-ahead log.
func (h *hand) undo(opened int) {
	h.exec("DELETE FROM ledger_entry WHERE (partition, position) IN (SELECT partition, position FROM event_log WHERE "+activity+")", opened)
	h.exec("DELETE FROM paymentquote")
	h.exec("PRAGMA wal_checkpoint(TRUNCATE)")
}

// handBatch is what the engine reads and writes for one batch.
type handBatch struct {
	partition, after, upTo  int64
	events                  int
	balances, profiles      []string // npubs
	quotes                  []string
	moved, entries, created [][]any // the arguments of each row
	settled                 []string
}

// prepared gives a statement with its arguments bound; nil after an error.
func (h *hand) prepared(query string, args []any) *sqlite3.Stmt {
	if h.err != nil {
		return nil
	}
	st := h.stmts[query]
	if st == nil {
		if st, _, h.err = h.conn.PrepareFlags(query, sqlite3.PREPARE_PERSISTENT); h.err != nil {
			h.err = fmt.Errorf("%s: %w", query, h.err)
			return nil
		}
		h.stmts[query] = st
	}
	for i, a := range args {
		switch a := a.(type) {
		case nil:
			h.err = st.BindNull(i + 1)
		case int:
			h.err = st.BindInt(i+1, a)
		case int64:
			h.err = st.BindInt64(i+1, a)
		case bool:
			h.err = st.BindBool(i+1, a)
		case string:
			h.err = st.BindText(i+1, a)
		default:
			h.err = fmt.Errorf("%s: an argument of type %T", query, a)
		}
		if h.err != nil {
			return nil
		}
	}
	return st
}

func (h *hand) exec(query string, args ...any) {
	if st := h.prepared(query, args); st != nil {
		if err := st.Exec(); err != nil {
			h.err = fmt.Errorf("%s: %w", query, err)
		}
	}
}

// rows reads what a query finds, to the last column.
func (h *hand) rows(query string, args ...any) (all [][]any) {
	st := h.prepared(query, args)
	if st == nil {
		return nil
	}
	for st.Step() {
		row := make([]any, st.ColumnCount())
		if h.err = st.Columns(row...); h.err != nil {
			return nil
		}
		all = append(all, row)
	}
	if err := st.Reset(); err != nil {
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
	var last map[any][]any     // by npub: what its wallet is moved to
	var created map[string]int // by quote: its place in b.created
	var whole map[any]bool     // by npub: more than its balance is read
	// The batches come partition by partition here, and came by turns there: a later one must not take a wallet back.
	newest := map[any][]any{}
	finish := func() {
		for npub, to := range last {
			if known := newest[npub]; known != nil && known[1].(int64) > to[1].(int64) {
				to = known
			}
			newest[npub] = to
			if whole[npub] {
				b.profiles = append(b.profiles, npub.(string))
			} else {
				b.balances = append(b.balances, npub.(string))
			}
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
			b, last, created, whole = &all[len(all)-1], map[any][]any{}, map[string]int{}, map[any]bool{}
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
		switch typ {
		case event.TypeWalletUpdated:
			whole[e[3]] = true
			continue
		case event.TypeQuoteCreated, event.TypeQuotePaid:
			whole[e[3]] = true
		default:
			continue
		}
		if err := json.Unmarshal([]byte(fmt.Sprint(e[4])), &d); err != nil {
			return nil, err
		}
		b.quotes = append(b.quotes, d.Quote)
		if typ == event.TypeQuoteCreated {
			created[d.Quote] = len(b.created)
			b.created = append(b.created, []any{handles[e[3]], d.Quote, d.Amount, d.Mint, false, e[3]})
		} else if i, here := created[d.Quote]; here {
			b.created[i][4] = true
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
	own := func(name string) string { return enginesOwn.Get(name).SQL }
	h.exec("BEGIN IMMEDIATE")
	h.rows(own("claim"), event.Topic, "ledger", b.partition)
	h.rows(own("read_batch"), event.Topic, b.partition, b.after, b.events)
	h.rows(own("blocked_subjects"), event.Topic, "ledger", b.partition, b.after, b.upTo)
	h.rows(own("load_balances"), list(b.balances))
	h.rows(own("load_wallets"), list(b.profiles))
	ids := map[any]any{}
	if len(b.quotes) > 0 {
		for _, q := range h.rows(own("load_quotes"), list(b.quotes)) {
			ids[q[3]] = q[0]
		}
	}
	for _, w := range b.moved {
		h.exec(own("store_moved"), w...)
	}
	for _, q := range b.created {
		h.exec(own("store_created_quotes"), q...)
	}
	for _, q := range b.settled {
		if id := ids[q]; id != nil {
			h.exec(own("store_settled_quotes"), id)
		}
	}
	for _, e := range b.entries {
		h.exec(own("store_entries"), e...)
	}
	h.exec(own("move_cursor"), event.Topic, "ledger", b.partition, b.upTo)
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
	m, err := measureSQLite(ctx, t, s)
	must(t, err)
	for _, of := range []bench.Timing{m.engine, m.hand, m.setBased} {
		if of.Events != s.Events || of.Took <= 0 {
			t.Errorf("drained %+v", m)
		}
	}
}
