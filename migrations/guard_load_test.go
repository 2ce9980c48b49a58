package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// wallets is how many rows the guarded table gets: a million where the long forms of the tests are asked for.
func wallets() int {
	if os.Getenv("SAFEBOX_TEST_LONG") == "1" {
		return 1_000_000
	}
	return 20_000
}

// crowd fills the guarded table, behind the rows of the fixture.
func crowd(t *testing.T, db *sql.DB, rows int) {
	t.Helper()
	exec(t, db, fmt.Sprintf(`INSERT INTO registeredsafebox (id, npub, handle, home_relay, onboard_code, access_key, balance)
		SELECT 1000 + n, 'npub1' || md5(n::text), 'handle-' || n, 'wss://relay.example.org', 'x', CASE WHEN n %% 2 = 0 THEN md5('k' || n) END, n
		FROM generate_series(1, %d) AS n`, rows))
	exec(t, db, "SELECT setval(pg_get_serial_sequence('registeredsafebox', 'id'), max(id)) FROM registeredsafebox")
	exec(t, db, "ANALYZE registeredsafebox")
}

// writers write wallets in autocommit, several at once, and note how long the slowest write took.
type writers struct {
	done    atomic.Int64
	slowest atomic.Int64 // nanoseconds
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// writerPause is from one write of a writer to its next, at least: the processors are for the build.
const writerPause = 2 * time.Millisecond

// startWriters starts n of them: each changes a wallet of its own and adds one.
func startWriters(t *testing.T, open func() *sql.DB, n int) *writers {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &writers{stop: stop}
	for i := range n {
		db := open()
		w.all.Go(func() {
			pace := time.NewTicker(writerPause)
			defer pace.Stop()
			for round := 0; ctx.Err() == nil; round++ {
				<-pace.C
				began := time.Now()
				_, err := db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(`WITH changed AS (
						UPDATE registeredsafebox SET balance = balance + 1 WHERE handle = 'handle-%[1]d')
					INSERT INTO registeredsafebox (npub, handle, home_relay, onboard_code, access_key, balance)
					VALUES ('npub1new-%[1]d-%[2]d', 'new-%[1]d-%[2]d', 'wss://relay.example.org', 'x', 'new-%[1]d-%[2]d', 0)`, i+1, round))
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
				w.took(time.Since(began))
			}
		})
	}
	return w
}

func (w *writers) took(d time.Duration) {
	w.done.Add(1)
	for {
		slowest := w.slowest.Load()
		if int64(d) <= slowest || w.slowest.CompareAndSwap(slowest, int64(d)) {
			return
		}
	}
}

func (w *writers) end() { w.stop(); w.all.Wait() }

// await waits until the writers have written so many times more.
func (w *writers) await(t *testing.T, more int64) {
	t.Helper()
	target := w.done.Load() + more
	soon(t, fmt.Sprintf("%d more writes", more), func() bool { return w.done.Load() >= target })
}

func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !dbtest.Until(time.Minute, holds) {
		t.Fatalf("it did not come about within a minute: %s", what)
	}
}

// longestDelay is the most that a write may take while the guards are built. A build that held the writers off would
// hold them for as long as the transaction that the test keeps open, which waits for them: for ever.
const longestDelay = 10 * time.Second

// The Python program and other workers go on writing while the guards' indexes are built. The build has to wait for a
// transaction that is older than it; whoever writes meanwhile must not wait behind the build.
func TestGuardsAreBuiltOnABigTableWithoutHoldingWritersOff(t *testing.T) {
	open := place(t, storage.PostgreSQL)
	db, older, look := open(), open(), open()
	alembic(t, db, storage.PostgreSQL, "20260416_0003")
	dropUnique(t, db)
	rows := wallets()
	crowd(t, db, rows)
	exec(t, db, "CREATE INDEX ON registeredsafebox (handle)") // for the writers' own sake: it proves no guard

	w := startWriters(t, open, 4)
	defer w.end()
	w.await(t, 50)
	before := time.Duration(w.slowest.Swap(0))

	reached, resume := make(chan struct{}), make(chan struct{})
	o := options(storage.PostgreSQL)
	var first sync.Once // a build that had to wait too long for a lock is begun again
	o.Progress = func(activity string) {
		if activity == "building the unique index uq_registeredsafebox_npub" {
			first.Do(func() {
				reached <- struct{}{}
				<-resume
			})
		}
	}
	began := time.Now()
	prepared := make(chan error, 1)
	var report Report
	go func() {
		var err error
		report, err = Prepare(context.Background(), db, o)
		prepared <- err
	}()

	select { // the migrations are through, which do need the table for a moment
	case <-reached:
	case err := <-prepared:
		t.Fatal("no index was built: ", err)
	}
	commit := hold(t, older, sql.LevelDefault, "UPDATE registeredsafebox SET balance = balance + 1 WHERE handle = 'handle-9'")
	w.slowest.Store(0)
	close(resume)
	soon(t, "the build is under way and waits for the older transaction", func() bool {
		return one(t, look, `SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()
			AND command = 'CREATE INDEX CONCURRENTLY' AND phase LIKE 'waiting for %'`) == "1"
	})
	w.await(t, 200)
	commit()
	if err := <-prepared; err != nil {
		t.Fatal(err)
	}
	took, slowest, writes := time.Since(began), time.Duration(w.slowest.Load()), w.done.Load()
	w.end()

	want := []string{"uq_registeredsafebox_npub", "uq_registeredsafebox_handle", "uq_registeredsafebox_access_key"}
	if !slices.Equal(report.Indexes, want) {
		t.Errorf("built %q, want %q", report.Indexes, want)
	}
	if n := one(t, db, `SELECT count(*) FROM pg_index WHERE indrelid = 'registeredsafebox'::regclass AND indexrelid::regclass::text LIKE 'uq\_%' AND indisunique AND indisvalid AND indisready`); n != "3" {
		t.Errorf("%s unique indexes are valid, want 3", n)
	}
	if slowest > longestDelay {
		t.Errorf("a write took %s while the guards were built, want %s at most", slowest, longestDelay)
	}
	t.Logf("%d wallets: prepared in %s under %d writes of 4 writers, the slowest of which took %s (%s before)",
		rows, took.Round(time.Millisecond), writes, slowest.Round(time.Microsecond), before.Round(time.Microsecond))
}
