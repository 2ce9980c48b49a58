package worker_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

var silent = slog.New(slog.DiscardHandler)

const (
	benchWallets = 10_000
	benchEvents  = 200_000
)

// BenchmarkDrain drains 200,000 mixed events of 10,000 wallets through a whole replica, and then writes the very same rows
// by one hand-written set-based statement: "of_limit" is the ratio of the two. PostgreSQL runs with fsync on.
func BenchmarkDrain(b *testing.B) {
	b.Run("postgresql", func(b *testing.B) {
		server := dbtest.Server(b, dbtest.Options{Fsync: true})
		benchmarkDrain(b, 4, func() string { return server.Database(b) })
	})
	b.Run("sqlite", func(b *testing.B) {
		benchmarkDrain(b, 1, func() string { return dbtest.SQLite(b) })
	})
}

func benchmarkDrain(b *testing.B, lanes int, fresh func() string) {
	var drained, limit time.Duration
	for range b.N {
		b.StopTimer()
		db := storagetest.Ready(b, fresh())
		fill(b, db)
		b.StartTimer()
		began := time.Now()
		drain(b, db, lanes)
		drained += time.Since(began)
		b.StopTimer()
		audited(b, db)
		limit += byHand(b, db)
		b.StartTimer()
	}
	b.ReportMetric(float64(benchEvents*b.N)/drained.Seconds(), "events/s")
	b.ReportMetric(float64(benchEvents*b.N)/limit.Seconds(), "limit_events/s")
	b.ReportMetric(limit.Seconds()/drained.Seconds(), "of_limit")
	b.ReportMetric(0, "ns/op")
}

// drain runs a replica until every event is processed.
func drain(tb testing.TB, db storage.DB, lanes int) {
	tb.Helper()
	r := worker.New(worker.Options{
		DB: db, Instance: "bench", Lanes: lanes, UntilIdle: true, Logger: silent, Initialise: findsReady(tb, db),
	})
	if err := r.Run(storagetest.Context(tb)); err != nil {
		tb.Fatal(err)
	}
}

// findsReady is the initialisation of a build that finds the database ready.
func findsReady(tb testing.TB, db storage.DB) func(context.Context) (initlock.Result, error) {
	tb.Helper()
	o := asReady(tb, db)
	return func(ctx context.Context) (initlock.Result, error) {
		return db.Initialise(ctx, o, func(context.Context, *sql.DB) error { return nil })
	}
}

// asReady are the options of a build that finds the database ready; forced are those of an operator who leads all the same.
func asReady(tb testing.TB, db storage.DB) initlock.Options {
	tb.Helper()
	marker, err := db.Marker().Read(storagetest.Context(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return initlock.Options{
		Digest: marker.Digest, Revision: marker.Revision, OldestCompatible: marker.OldestCompatible, Name: "bench",
		Logger: silent,
	}
}

func forced(tb testing.TB, db storage.DB) initlock.Options {
	tb.Helper()
	o := asReady(tb, db)
	o.Force = true
	return o
}

func audited(tb testing.TB, db storage.DB) {
	tb.Helper()
	a, err := db.Audit(storagetest.Context(tb), event.Topic, worker.Group)
	if err != nil {
		tb.Fatal(err)
	}
	if !a.OK || a.Pending != 0 || a.Events != benchEvents+2*benchWallets {
		tb.Fatalf("the drain went wrong: %+v", a)
	}
}

// fill registers and funds the wallets, processes that, and appends the mixed events.
func fill(tb testing.TB, db storage.DB) {
	tb.Helper()
	var setup []event.Event
	npubs := make([]string, benchWallets)
	for i := range npubs {
		npubs[i] = event.EncodeNpub([32]byte{byte(i), byte(i >> 8), 1})
		setup = append(setup,
			benchEvent(event.TypeWalletRegistered, npubs[i], len(setup), fmt.Sprintf(
				`{"npub":%q,"handle":"h%d","home_relay":"wss://relay.example.org","onboard_code":"bench"}`, npubs[i], i)),
			benchEvent(event.TypeFundsCredited, npubs[i], len(setup)+1, `{"amount":50000000}`))
	}
	appendAll(tb, db, setup)
	drain(tb, db, 4)
	rng := rand.New(rand.NewPCG(1, 2)) // the same every time
	mixed := make([]event.Event, benchEvents)
	for i := range mixed {
		mixed[i] = mixedEvent(rng, npubs, 2*benchWallets+i)
	}
	appendAll(tb, db, mixed)
}

func appendAll(tb testing.TB, db storage.DB, events []event.Event) {
	tb.Helper()
	for len(events) > 0 {
		n := min(len(events), 2000)
		if _, err := db.Append(storagetest.Context(tb), event.Topic, events[:n]); err != nil {
			tb.Fatal(err)
		}
		events = events[n:]
	}
}

func mixedEvent(rng *rand.Rand, npubs []string, i int) event.Event {
	npub := npubs[rng.IntN(len(npubs))]
	amount := rng.IntN(500) + 1
	switch n := rng.IntN(100); {
	case n < 40:
		return benchEvent(event.TypeFundsCredited, npub, i, fmt.Sprintf(`{"amount":%d,"memo":"tip"}`, amount))
	case n < 70:
		return benchEvent(event.TypeFundsDebited, npub, i, fmt.Sprintf(`{"amount":%d,"fee":1}`, amount))
	case n < 92:
		return benchEvent(event.TypeFundsTransferred, npub, i, fmt.Sprintf(`{"to":%q,"amount":%d}`, npubs[rng.IntN(len(npubs))], amount))
	case n < 96:
		return benchEvent(event.TypeQuoteCreated, npub, i, fmt.Sprintf(`{"quote":"q%d","amount":%d,"mint":"https://mint.example.org"}`, i, amount))
	case n < 98:
		return benchEvent(event.TypeQuotePaid, npub, i, fmt.Sprintf(`{"quote":"q%d"}`, rng.IntN(i)))
	case n < 99:
		return benchEvent(event.TypeWalletUpdated, npub, i, `{"currency_code":"CAD"}`)
	default:
		return benchEvent(event.TypeFundsDebited, npub, i, `{"amount":1000000000000}`)
	}
}

func benchEvent(typ, subject string, i int, data string) event.Event {
	return event.Event{
		ID: fmt.Sprintf("e-%d", i), Source: "/bench", Type: typ, Subject: subject, Data: []byte(data),
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond),
	}
}

// byHand writes the rows of the drain again, into the same tables without them, by one statement in one transaction (on
// SQLite, which has no writing CTEs, by one statement a table), and tells how long it took.
func byHand(tb testing.TB, db storage.DB) (took time.Duration) {
	tb.Helper()
	_, err := db.Initialise(storagetest.Context(tb), forced(tb, db), func(ctx context.Context, conn *sql.DB) error {
		run := func(script string) error {
			for _, statement := range strings.Split(script, ";") {
				if _, err := conn.ExecContext(ctx, statement); err != nil {
					return fmt.Errorf("%s: %w", statement, err)
				}
			}
			return nil
		}
		if err := run(handSetUp); err != nil {
			return err
		}
		script := handPostgreSQL
		if db.Dialect() == storage.SQLite {
			script = handSQLite
		}
		began := time.Now()
		err := run(script)
		took = time.Since(began)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return took
}

const handSetUp = `
CREATE TEMPORARY TABLE entries AS SELECT * FROM ledger_entry WHERE at >= '2026-01-01T00:00:20Z';
CREATE TEMPORARY TABLE quotes AS SELECT * FROM paymentquote;
CREATE TEMPORARY TABLE wallets AS SELECT id, balance, entry_count FROM registeredsafebox;
DELETE FROM ledger_entry WHERE at >= '2026-01-01T00:00:20Z';
DELETE FROM paymentquote;
UPDATE registeredsafebox SET balance = 0;
UPDATE event_cursor SET position = 0`

const handPostgreSQL = `
WITH entry AS (INSERT INTO ledger_entry SELECT * FROM entries ORDER BY partition, position, leg),
     quote AS (INSERT INTO paymentquote SELECT * FROM quotes),
     wallet AS (UPDATE registeredsafebox w SET balance = i.balance, entry_count = i.entry_count FROM wallets i WHERE w.id = i.id)
UPDATE event_cursor c SET position = (SELECT max(position) FROM event_log l WHERE l.topic = c.topic AND l.partition = c.partition)`

const handSQLite = `
BEGIN IMMEDIATE;
INSERT INTO ledger_entry SELECT * FROM entries ORDER BY partition, position, leg;
INSERT INTO paymentquote SELECT * FROM quotes;
UPDATE registeredsafebox SET balance = i.balance, entry_count = i.entry_count FROM wallets i WHERE registeredsafebox.id = i.id;
UPDATE event_cursor SET position = (SELECT max(position) FROM event_log l WHERE l.topic = event_cursor.topic AND l.partition = event_cursor.partition);
COMMIT`
