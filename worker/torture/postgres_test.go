package torture

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/safebox/safebox/storage/dbtest"
)

// ground is a private server, and what stands between it and the replicas.
type ground struct {
	t      *testing.T
	server *dbtest.PostgreSQLServer
	setup  setup
	proxy  *toxiproxy.Proxy // of replica 0
	pooler *dbtest.Pooler
	clock  string         // the file that says how far the server's clock is off
	fsync  string         // the file whose presence makes the server's fsync fail
	proof  *regexp.Regexp // what the server's log says where a fault came about; nil: it cannot tell
	said   int            // how often it had, when the last one ended
}

func newGround(t *testing.T, o dbtest.Options) *ground {
	t.Helper()
	if o.MaxConnections == 0 {
		o.MaxConnections = 80
	}
	g := &ground{t: t, server: dbtest.Server(t, o)}
	g.setup = setup{backend: "postgresql", url: g.server.Database(t)}
	return g
}

// revive starts the server again where it ended by itself.
func (g *ground) revive() {
	g.t.Helper()
	end := time.Now().Add(5 * time.Second)
	for time.Now().Before(end) {
		if g.query("SELECT 1") == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	g.server.Stop(dbtest.Immediate)
	if err := g.server.Start(); err != nil {
		g.t.Fatalf("%v; its log ends:\n%s", err, g.server.Log())
	}
}

// prove waits until the server's log proves that a fault came about: a short one may end before the server has met it.
func (g *ground) prove(r *rig) {
	g.t.Helper()
	r.await(fmt.Sprintf("the server's log says %q", g.proof), func() bool { return g.server.Said(g.proof) > g.said })
	g.said = g.server.Said(g.proof)
}

// query runs a statement on a connection of its own.
func (g *ground) query(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	db, err := openDatabase(g.setup.url)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// hold runs statements in a transaction that stays open until end. A snapshot takes RepeatableRead; locks take ReadCommitted, in
// which they are waited for where a row is moved meanwhile.
func (g *ground) hold(isolation sql.IsolationLevel, statements ...string) (end func()) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	db, err := openDatabase(g.setup.url)
	if err != nil {
		g.t.Fatal(err)
	}
	end = func() {
		cancel()
		db.Close()
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	for _, s := range statements {
		if err == nil {
			_, err = tx.ExecContext(ctx, s)
		}
	}
	if err != nil {
		g.t.Logf("the other session could not begin: %v", err) // another fault may be the reason
	}
	return end
}

const safeboxSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'safebox/%'`

func (g *ground) stopped(name string, stop func()) fault {
	return fault{name: name, least: 0, most: 800 * time.Millisecond, begin: func(*rig) func() {
		stop()
		return func() {
			if err := g.server.Start(); err != nil {
				g.t.Fatalf("%v; its log ends:\n%s", err, g.server.Log())
			}
		}
	}}
}

// plainFaults need nothing but the server.
func (g *ground) plainFaults() []fault {
	return []fault{
		killed,
		{name: "SIGKILL of a worker inside a transaction", others: true, begin: func(r *rig) func() {
			g.stopAtWork(r).kill()
			return r.mend
		}},
		paused,
		{name: "SIGSTOP of a worker inside a transaction, SIGCONT after others took over", others: true, begin: func(r *rig) func() {
			w := g.stopAtWork(r)
			return func() { w.signal(syscall.SIGCONT) }
		}},
		{name: "pg_terminate_backend", most: 200 * time.Millisecond, begin: func(r *rig) func() {
			statement := safeboxSessions
			if r.rng.IntN(2) == 0 {
				statement += ` AND random() < 0.5`
			}
			if err := g.query(statement); err != nil {
				g.t.Logf("pg_terminate_backend: %v", err) // another fault may be the reason
			}
			return func() {}
		}},
		g.stopped("fast restart of the server", func() { g.server.Stop(dbtest.Fast) }),
		g.stopped("immediate restart of the server", func() { g.server.Stop(dbtest.Immediate) }),
		g.stopped("SIGKILL of the server", func() { g.server.Kill() }),
		{name: "row locks of a session idle in transaction", least: 500 * time.Millisecond, most: 4 * time.Second, begin: func(*rig) func() {
			// In the order of the lanes, cursors and then wallets by id: a circle would be the session's fault.
			return g.hold(sql.LevelReadCommitted,
				"SELECT 1 FROM event_cursor WHERE partition % 3 = 0 FOR UPDATE", "SELECT 1 FROM registeredsafebox ORDER BY id FOR UPDATE")
		}},
		{name: "a table locked by another session", least: 500 * time.Millisecond, most: 4 * time.Second, begin: func(r *rig) func() {
			table := []string{"registeredsafebox", "event_log", "ledger_entry"}[r.rng.IntN(3)]
			return g.hold(sql.LevelReadCommitted, "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
		}},
		{name: "a held snapshot", least: time.Second, most: 4 * time.Second, begin: func(*rig) func() {
			return g.hold(sql.LevelRepeatableRead, "SELECT count(*) FROM event_log")
		}},
		{name: "connections exhausted", least: time.Second, most: 4 * time.Second, begin: func(*rig) func() { return g.exhaust() }},
	}
}

// stopAtWork stops a replica where it has a transaction open.
func (g *ground) stopAtWork(r *rig) *replica {
	w := r.someone()
	for range 500 {
		w.signal(syscall.SIGSTOP)
		var n int
		err := r.db.QueryRow(fmt.Sprintf(`SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'safebox/%%-%d-%%' AND state = 'idle in transaction'`,
			w.cmd.Process.Pid)).Scan(&n)
		if err != nil || n > 0 {
			break
		}
		w.signal(syscall.SIGCONT)
		r.pause(r.between(0, 5*time.Millisecond))
	}
	w.signal(syscall.SIGSTOP)
	return w
}

// exhaust takes every connection that the server has, those of the replicas too, until it ends.
func (g *ground) exhaust() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	g.t.Cleanup(cancel)
	db, err := openDatabase(g.setup.url)
	if err != nil {
		g.t.Fatal(err)
	}
	take := func() (*sql.Conn, error) {
		conn, err := db.Conn(ctx)
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() }) // to close the handle is not enough for one in use
		}
		return conn, err
	}
	takeAll := func() {
		for ctx.Err() == nil {
			if _, err := take(); err != nil {
				return
			}
		}
	}
	first, err := take() // when all are taken, nobody else gets in to end the replicas' sessions
	takeAll()
	var taking sync.WaitGroup
	for range 4 {
		taking.Go(func() {
			for ctx.Err() == nil {
				takeAll()
				<-time.After(2 * time.Millisecond)
			}
		})
	}
	if err == nil {
		_, err = first.ExecContext(ctx, safeboxSessions)
	}
	if err != nil {
		g.t.Logf("the replicas keep their connections: %v", err) // another fault may be the reason
	}
	return func() {
		cancel()
		taking.Wait()
		db.Close()
	}
}

// throughProxy puts a proxy between replica 0 and the server.
func (g *ground) throughProxy() {
	g.t.Helper()
	u, err := url.Parse(g.setup.url)
	if err != nil {
		g.t.Fatal(err)
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	g.proxy = toxiproxy.NewProxy(api, "server", "127.0.0.1:0", u.Host)
	if err := g.proxy.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		g.proxy.Toxics.ResetToxics(context.Background())
		g.proxy.Stop()
	})
	u.Host = g.proxy.Listen
	g.setup.through = []string{u.String()}
}

// toxic poisons the proxy's streams.
func (g *ground) toxic(name, kind, attributes string, others bool, streams ...string) fault {
	return fault{name: name, others: others, least: 300 * time.Millisecond, most: 4 * time.Second, begin: func(r *rig) func() {
		for _, s := range streams {
			text := fmt.Sprintf(`{"type": %q, "name": %q, "stream": %q, "attributes": %s}`, kind, name+" "+s, s, attributes)
			if _, err := g.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
				r.t.Fatal(err)
			}
		}
		return func() {
			for _, s := range streams {
				if err := g.proxy.Toxics.RemoveToxic(context.Background(), name+" "+s); err != nil {
					r.t.Error(err)
				}
			}
		}
	}}
}

func (g *ground) networkFaults() []fault {
	return []fault{
		g.toxic("network: latency", "latency", `{"latency": 80, "jitter": 60}`, false, "upstream", "downstream"),
		g.toxic("network: a crawl", "bandwidth", `{"rate": 3}`, false, "upstream", "downstream"),
		g.toxic("network: nothing reaches the server", "timeout", `{"timeout": 0}`, true, "upstream"),
		g.toxic("network: nothing comes back", "timeout", `{"timeout": 0}`, true, "downstream"),
		g.toxic("network: silence both ways", "timeout", `{"timeout": 0}`, true, "upstream", "downstream"),
		g.toxic("network: connections reset", "reset_peer", `{"timeout": 0}`, false, "upstream", "downstream"),
		g.toxic("network: cut in the middle of a message", "limit_data", `{"bytes": 3000}`, false, "downstream"),
	}
}

// fullDisk fills a disk. What mend returns is called when there is room again.
func fullDisk(disk string, mend func(r *rig) (mended func())) fault {
	return fault{name: "full disk", least: 300 * time.Millisecond, most: 3 * time.Second, begin: func(r *rig) func() {
		balloon := filepath.Join(disk, "balloon")
		if err := fill(disk, balloon); err != nil {
			r.t.Fatal(err)
		}
		return func() {
			mended := mend(r)
			if err := os.Remove(balloon); err != nil {
				r.t.Fatal(err)
			}
			mended()
		}
	}}
}

// faketime is a library that tells a program another time.
func faketime(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the pattern is well formed
	if len(found) == 0 {
		t.Fatal("libfaketime is missing; on Debian and Ubuntu: apt-get install -y libfaketime")
	}
	return found[0]
}

// otherClock gives the server a clock that a file sets.
func otherClock(t *testing.T) (o dbtest.Options, file string) {
	t.Helper()
	file = filepath.Join(buildsDir(t), "clock")
	setClock(t, file, 0)
	o.Env = []string{
		"LD_PRELOAD=" + faketime(t), "FAKETIME_TIMESTAMP_FILE=" + file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
		"DONT_FAKE_MONOTONIC=1",
	}
	return o, file
}

func setClock(t *testing.T, file string, seconds int) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, []byte(fmt.Sprintf("%+d\n", seconds)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func (g *ground) clockFault() fault {
	return fault{name: "the database's clock set back and forth", least: 300 * time.Millisecond, most: 3 * time.Second, begin: func(r *rig) func() {
		setClock(r.t, g.clock, []int{-7200, -60, -5, 5, 60, 7200}[r.rng.IntN(6)])
		return func() { setClock(r.t, g.clock, 0) }
	}}
}

// failingFsync gives the server an fsync that fails while a file is there.
func failingFsync(t *testing.T) (o dbtest.Options, file string) {
	t.Helper()
	dir := buildsDir(t)
	library := filepath.Join(dir, "failing_fsync.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, "testdata/failing_fsync.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("building failing_fsync.so: %v\n%s", err, out)
	}
	file = filepath.Join(dir, "fsync-fails")
	return dbtest.Options{Fsync: true, Env: []string{"LD_PRELOAD=" + library, "FAILING_FSYNC=" + file}}, file
}

func (g *ground) fsyncFault() fault {
	return fault{name: "fsync fails", least: 100 * time.Millisecond, most: 1500 * time.Millisecond, begin: func(r *rig) func() {
		if err := os.WriteFile(g.fsync, nil, 0o644); err != nil {
			r.t.Fatal(err)
		}
		return func() {
			g.prove(r)
			if err := os.Remove(g.fsync); err != nil {
				r.t.Fatal(err)
			}
			g.revive()
		}
	}}
}

// throughPooler puts PgBouncer between all replicas and the server.
func (g *ground) throughPooler() {
	g.t.Helper()
	g.pooler = dbtest.NewPooler(g.t, g.setup.url, dbtest.TransactionMode, "tcp_keepidle = 5",
		"tcp_keepintvl = 1", "tcp_keepcnt = 3", "tcp_user_timeout = 8000")
	g.setup.through = []string{g.pooler.URL(), g.pooler.URL(), g.pooler.URL()}
	g.setup.env = append(g.setup.env, "SAFEBOX_DATABASE_DIRECT="+g.setup.url)
}

func (g *ground) poolerFault() fault {
	return fault{name: "PgBouncer restarted", most: 300 * time.Millisecond, begin: func(r *rig) func() {
		g.pooler.Restart(r.t)
		return func() {}
	}}
}

// countDeadlocks adds those that the server has broken up in this database to what is broken: lanes lock in one order.
func (g *ground) countDeadlocks(report *Report) {
	g.t.Helper()
	db, err := openDatabase(g.setup.url)
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n); err != nil {
		g.t.Fatal(err)
	}
	for range n {
		report.Violations = append(report.Violations, Violation{Deadlock, "the server broke a circle of waiting sessions"})
	}
}

func megabytes(n int) string { return "size=" + strconv.Itoa(n) + "m" }
