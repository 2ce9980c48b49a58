package faulttest

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// The revision before this project's first.
const older = "20260416_0003"

// longReader is a long transaction that reads the table of the wallets: a migration of that table waits for its end.
func longReader(t *testing.T, url string) (end func()) {
	t.Helper()
	tx, err := behind(t, url).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT count(*) FROM registeredsafebox"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// Twenty processes wait while the leader builds an index concurrently, which itself waits for every older snapshot: if a
// waiter held one, this would never end.
func TestTwentyWaitingProcessesBlockNoConcurrentIndexBuild(t *testing.T) {
	t.Parallel()
	url := dbtest.PostgreSQL(t)
	ok(t, url, "migrate", "upgrade", older)
	db := behind(t, url)
	for _, column := range []string{"npub", "handle", "access_key"} {
		exec(t, db, "DROP INDEX uq_registeredsafebox_"+column, "DROP INDEX ix_registeredsafebox_"+column)
	}
	exec(t, db, "CREATE TABLE elsewhere (n integer)")
	old, err := behind(t, url).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { old.Close() })
	if _, err := old.ExecContext(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM elsewhere"); err != nil {
		t.Fatal(err)
	}

	leader := start(t, url, "init", "--json")
	eventually(t, "the index is being built", limit, func() bool {
		return one(t, db, `SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting for%'`) == "1"
	})
	waiters := make([]*running, 20)
	for i := range waiters {
		waiters[i] = start(t, url, "init", "--json")
	}
	for _, w := range waiters {
		w.await(t, "another process is initialising the database")
	}
	for range 50 { // each look finds them at another point
		busy := rows(t, db, `SELECT application_name, state, query FROM pg_stat_activity WHERE datname = current_database()
			AND application_name LIKE 'safebox/%' AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
			AND state LIKE 'idle in transaction%'`)
		if len(busy) > 0 {
			t.Fatalf("waiters sit in transactions: %q", busy)
		}
	}
	if _, err := old.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for _, p := range append(slices.Clone(waiters), leader) {
		if code := p.wait(t); code != 0 {
			t.Fatalf("exit %d:\n%s", code, p.log.text())
		}
		var report struct{ Outcome string }
		if err := json.Unmarshal([]byte(p.out.text()), &report); err != nil {
			t.Fatalf("%v: %s", err, p.out.text())
		}
		outcomes[report.Outcome]++
	}
	if outcomes["led"] != 1 || outcomes["followed"] != len(waiters) {
		t.Errorf("outcomes: %v", outcomes)
	}
	if got := one(t, db, "SELECT count(*) FROM pg_index WHERE indexrelid::regclass::text LIKE 'uq_registeredsafebox_%' AND indisvalid AND indisunique"); got != "3" {
		t.Errorf("%s of 3 unique indexes are there", got)
	}
	if got := one(t, db, "SELECT epoch FROM safebox_init"); got != "2" { // the first was the upgrade's
		t.Errorf("epoch %s", got)
	}
}

// A long transaction reads the table that a migration alters: the leader tries again and again, and takes long.
func TestAMigrationThatWaitsForALongReaderHoldsUpNobodyAndSaysSo(t *testing.T) {
	t.Parallel()
	url := dbtest.PostgreSQL(t)
	ok(t, url, "migrate", "upgrade", older)
	endReader := longReader(t, url)

	leader := start(t, url, "worker", "--instance", "the-leader")
	leader.await(t, "this process initialises the database")
	waiters := []*running{start(t, url, "worker"), start(t, url, "worker"), start(t, url, "worker")}
	probes := make([]string, len(waiters)+1)
	for i, p := range append(slices.Clone(waiters), leader) {
		probes[i] = listening(t, p)
	}

	worst := make(chan time.Duration, 1)
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	db := behind(t, url)
	go func() { worst <- slowestRead(reading, t, db) }()

	leader.await(t, "others hold a lock that is needed", "registeredsafebox", "AccessShareLock", "20261123_0004")
	for _, w := range waiters {
		line := w.await(t, "still waiting for the database to be initialised")
		var said struct {
			Holder, Activity, Waited string
			Since                    time.Time
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !strings.Contains(said.Holder, "the-leader") || !strings.Contains(said.Activity, "20261123_0004") || said.Since.IsZero() || said.Waited != "10s" {
			t.Errorf("a waiter says: %s", line)
		}
	}
	if long() { // a migration of two minutes
		for _, waited := range []string{`"waited":"5`, `"waited":"1m4`, `"waited":"2m`} {
			for _, w := range waiters {
				w.await(t, "still waiting for the database to be initialised", waited)
			}
		}
	}
	for i, address := range probes {
		if status := probe(t, address+"/livez"); status != http.StatusOK {
			t.Errorf("process %d: /livez answers %d", i, status)
		}
		if status := probe(t, address+"/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("process %d: /readyz answers %d", i, status)
		}
	}
	stop()
	if took := <-worst; took > 10*time.Second { // lock_timeout is 2 s; without it a read waits until the test ends
		t.Errorf("a reader was delayed by %v", took)
	} else {
		t.Logf("the slowest read took %v", took)
	}

	for i, p := range []*running{waiters[0], waiters[1], leader} {
		asked := time.Now()
		p.signal(syscall.SIGTERM)
		if code := p.wait(t); code != 0 {
			t.Errorf("process %d ended with %d after SIGTERM:\n%s", i, code, p.log.text())
		}
		if took := p.when.Sub(asked); took > 10*time.Second {
			t.Errorf("process %d took %v to end", i, took)
		}
	}
	endReader()
	last := waiters[2]
	last.await(t, "this process initialises the database") // the leader left: nobody failed
	last.await(t, "the database is ready")
	eventually(t, "/readyz answers 200", limit, func() bool { return probe(t, probes[2]+"/readyz") == http.StatusOK })
	last.signal(syscall.SIGTERM)
	if code := last.wait(t); code != 0 {
		t.Errorf("exit %d:\n%s", code, last.log.text())
	}
}

// listening is the base URL of a worker's HTTP server.
func listening(t *testing.T, p *running) string {
	t.Helper()
	var said struct{ Addr string }
	if err := json.Unmarshal([]byte(p.await(t, "http: listening")), &said); err != nil {
		t.Fatal(err)
	}
	return "http://" + said.Addr
}

func probe(t *testing.T, url string) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// slowestRead reads the table of the wallets again and again, as everybody else does, and returns the longest it took.
func slowestRead(ctx context.Context, t *testing.T, db *sql.DB) (worst time.Duration) {
	for ctx.Err() == nil {
		began := time.Now()
		var n int
		if err := db.QueryRowContext(context.WithoutCancel(ctx), "SELECT count(*) FROM registeredsafebox").Scan(&n); err != nil {
			t.Error(err)
			return worst
		}
		worst = max(worst, time.Since(began))
		pause(ctx)
	}
	return worst
}
