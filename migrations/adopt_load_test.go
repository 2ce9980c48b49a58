package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// python is programs that write as the Python program does, in short transactions: balances change, wallets and quotes
// come, quotes are paid and nonces used. Each writes down beside it what it did to a balance, and whether the balance was
// still the old column then: the transaction's locks keep that from changing before it commits.
type python struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu    sync.Mutex
	times []time.Duration
}

func startPython(t *testing.T, url string, n, wallets int) *python {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &python{stop: stop}
	for i := range n {
		db := openURL(t, url)
		p.all.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for round := 0; ctx.Err() == nil; round++ {
				<-pace.C
				began := time.Now()
				if err := p.write(context.WithoutCancel(ctx), db, i, round, wallets); err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
				p.mu.Lock()
				p.times = append(p.times, time.Since(began))
				p.mu.Unlock()
			}
		})
	}
	return p
}

func (p *python) write(ctx context.Context, db *sql.DB, i, round, wallets int) (err error) {
	const note = `INSERT INTO written SELECT %s, %d, EXISTS (SELECT FROM pg_attribute
		WHERE attrelid = 'registeredsafebox'::regclass AND attname = 'balance' AND atttypid = 'integer'::regtype)`
	wallet := 1001 + (i*7919+round*104729)%wallets
	statements := []string{
		fmt.Sprintf("UPDATE registeredsafebox SET balance = balance + 3 WHERE id = %d", wallet), fmt.Sprintf(note, fmt.Sprint(wallet), 3),
	}
	switch round % 4 {
	case 1:
		statements = []string{
			fmt.Sprintf(`INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, balance)
				VALUES ('npub1new-%[1]d-%[2]d', 'new-%[1]d-%[2]d', 'wss://relay.example.org', 'x', 7)`, i, round),
			fmt.Sprintf(note, "currval(pg_get_serial_sequence('registeredsafebox', 'id'))", 7),
		}
	case 3:
		statements = []string{
			fmt.Sprintf("INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid) VALUES ('', 'h', 'new-%d-%d', 21, 'm', false)", i, round),
			fmt.Sprintf("UPDATE paymentquote SET paid = true WHERE id = %d", 1001+round%1000),
			fmt.Sprintf(`INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at)
				VALUES ('pk', 'pay', 'new-%d-%d', 1760000000, now())`, i, round),
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			_ = tx.Rollback() // the first error tells
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return tx.Commit()
}

// end stops the writers and gives how long each write took, the quickest first.
func (p *python) end() []time.Duration {
	p.stop()
	p.all.Wait()
	slices.Sort(p.times)
	return p.times
}

// lockWatch looks at the locks of one session as often as it can afford to.
type lockWatch struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	looks   int
	longest time.Duration
	what    string
}

// watchLocks looks every 20 ms for locks of the session that keep the writers of a table out.
func watchLocks(t *testing.T, db *sql.DB, pid string) *lockWatch {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &lockWatch{stop: stop}
	w.done.Go(func() {
		since := map[string]time.Time{}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			before := time.Now()
			var found string
			err := db.QueryRowContext(context.WithoutCancel(ctx), `SELECT coalesce(string_agg(DISTINCT c.relname || ' ' || l.mode, ','), '')
				FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
				WHERE l.granted AND l.locktype = 'relation' AND l.pid = $1 AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
				AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`, pid).Scan(&found)
			if err != nil {
				t.Error(err)
				return
			}
			held := strings.FieldsFunc(found, func(r rune) bool { return r == ',' })
			w.looks++
			for key := range since {
				if !slices.Contains(held, key) {
					delete(since, key)
				}
			}
			for _, key := range held {
				if _, ok := since[key]; !ok {
					since[key] = before
				}
				// From the look before it was seen to this one's end is the longest that it can have been.
				if d := time.Since(since[key]) + 20*time.Millisecond; d > w.longest {
					w.longest, w.what = d, key
				}
			}
		}
	})
	return w
}

func (w *lockWatch) end() { w.stop(); w.done.Wait() }

// Invariant 7: an Alembic database is adopted with a million wallets in it while the Python program writes to it, and no
// table is locked against writers for long. The opening balance is the balance at the swap, wallet by wallet.
func TestAdoptingAMillionWalletsHoldsNoWriterOff(t *testing.T) {
	const d, most = storage.PostgreSQL, 2 * time.Second
	wallets, quotes := 20_000, 2_000
	if os.Getenv("SAFEBOX_TEST_LONG") == "1" {
		wallets, quotes = 1_000_000, 100_000
	}
	url := dbtest.PostgreSQL(t)
	look := openURL(t, url)
	alembic(t, look, d, LatestAlembic)
	exec(t, look, "CREATE TABLE written (wallet integer, delta integer, before_swap boolean)")
	rebuilt := query(t, look, "SELECT indexdef FROM pg_indexes WHERE tablename = 'registeredsafebox' AND indexname NOT IN (SELECT conname FROM pg_constraint)")
	for _, name := range query(t, look, "SELECT indexname FROM pg_indexes WHERE tablename = 'registeredsafebox' AND indexname NOT IN (SELECT conname FROM pg_constraint)") {
		exec(t, look, "DROP INDEX "+name)
	}
	crowd(t, look, wallets)
	for _, index := range rebuilt { // all at once is quicker than row by row
		exec(t, look, index)
	}
	exec(t, look, fmt.Sprintf(`INSERT INTO paymentquote (id, nsec, handle, quote, amount, mint, paid)
		SELECT 1000 + n, '', 'handle-' || n, 'quote-' || n, n, 'https://mint.example.org', false FROM generate_series(1, %d) AS n`, quotes))
	exec(t, look, fmt.Sprintf(`INSERT INTO nfcrequesternonce (id, requester_pubkey, flow, nonce, requester_ts, used_at)
		SELECT 1000 + n, 'pk', 'pay', 'nonce-' || n, 1700000000 + n, now() FROM generate_series(1, %d) AS n`, quotes))
	exec(t, look, `SELECT setval(pg_get_serial_sequence(of, 'id'), 10000000) FROM unnest(ARRAY['registeredsafebox', 'paymentquote', 'nfcrequesternonce']) AS of`)
	exec(t, look, "CREATE TABLE was AS SELECT id, balance FROM registeredsafebox")
	exec(t, look, "ANALYZE")

	exec(t, look, "CHECKPOINT")
	leader, pid := session(t, url)
	w := watchLocks(t, openURL(t, url), pid)
	p := startPython(t, url, 4, wallets)
	var log strings.Builder
	o, backfilling := options(d), []string{}
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	o.Progress = func(activity string) {
		if strings.HasPrefix(activity, "backfilling registeredsafebox") {
			backfilling = append(backfilling, activity)
		}
	}
	began := time.Now()
	r, err := Prepare(context.Background(), leader, o)
	took := time.Since(began)
	times := p.end()
	w.end()
	if err != nil || !r.Head || r.Adopted != LatestAlembic {
		t.Fatalf("%+v, %v", r, err)
	}

	slowest := times[len(times)-1]
	if slowest > most {
		t.Errorf("a write took %s, want %s at most", slowest, most)
	}
	if w.looks == 0 || w.longest > most {
		t.Errorf("%s was held for up to %s (%d looks), want %s at most", w.what, w.longest, w.looks, most)
	}
	if want := regexp.MustCompile(`^backfilling registeredsafebox: [0-9,]+ of [0-9,]+ rows$`); len(backfilling) == 0 || !want.MatchString(backfilling[0]) {
		t.Errorf("nobody was told how far it is: %q", backfilling)
	}
	if !strings.Contains(log.String(), "backfilling registeredsafebox: ") {
		t.Errorf("the log does not say how far it is:\n%s", log.String())
	}
	for question, wrong := range map[string]string{
		"wallets whose opening balance is not their balance at the swap": `SELECT count(*) FROM registeredsafebox r LEFT JOIN was USING (id)
			LEFT JOIN (SELECT wallet, sum(delta) AS delta FROM written WHERE before_swap GROUP BY wallet) AS b ON b.wallet = r.id
			WHERE opening_balance <> coalesce(was.balance, 0) + coalesce(b.delta, 0)`,
		"wallets whose balance is not the opening balance and what was written since": `SELECT count(*) FROM registeredsafebox r
			LEFT JOIN (SELECT wallet, sum(delta) AS delta FROM written WHERE NOT before_swap GROUP BY wallet) AS a ON a.wallet = r.id
			WHERE r.balance <> opening_balance + coalesce(a.delta, 0) OR entry_count <> 0`,
		"quotes with another amount": "SELECT count(*) FROM paymentquote WHERE amount <> CASE WHEN quote LIKE 'new-%' THEN 21 ELSE substr(quote, 7)::bigint END AND quote LIKE '%-%-%' = (quote LIKE 'new%') AND id > 1000",
		"nonces with another time":   "SELECT count(*) FROM nfcrequesternonce WHERE id > 1000 AND requester_ts <> CASE WHEN nonce LIKE 'new-%' THEN 1760000000 ELSE 1700000000 + substr(nonce, 7)::bigint END",
	} {
		if n := one(t, look, wrong); n != "0" {
			t.Errorf("%s: %s", question, n)
		}
	}
	if n := one(t, look, "SELECT count(*) FROM written WHERE before_swap"); n == "0" {
		t.Error("nothing was written before the swap")
	}
	t.Logf("%d wallets, %d quotes and nonces: prepared in %s under %d writes of 4 writers: p50 %s, p99 %s, slowest %s; "+
		"longest lock against writers %s (%s, %d looks); told %d times, last %q",
		wallets, quotes, took.Round(time.Millisecond), len(times), times[len(times)/2].Round(time.Microsecond),
		times[len(times)*99/100].Round(time.Microsecond), slowest.Round(time.Microsecond),
		w.longest.Round(time.Millisecond), w.what, w.looks, len(backfilling), backfilling[max(len(backfilling)-1, 0):])
}
