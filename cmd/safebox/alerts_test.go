package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/deploy/watch"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// hurried is the pace of the alerts here: the rules of production with shorter times. The window must hold several
// heartbeats, by which the backlog is known.
var hurried = watch.Pace{
	Window: 10 * time.Second, Patience: 6 * time.Second, Silence: 8 * time.Second, Late: time.Second, Every: 500 * time.Millisecond,
	Backup: 2 * time.Second, Proof: 2 * time.Second,
	For: func(d time.Duration) time.Duration { return d / 120 },
}

// pager is who is called.
type pager struct {
	t          *testing.T
	prometheus *dbtest.PrometheusServer
	fired      map[string]bool
}

func (p *pager) firing(alert string) int {
	return len(p.prometheus.Query(p.t, `ALERTS{alertstate="firing",alertname="`+alert+`"}`))
}

func (p *pager) fires(alerts ...string) {
	p.t.Helper()
	for _, a := range alerts {
		began := time.Now()
		eventually(p.t, a+" fires", func() (bool, string) {
			return p.firing(a) > 0, fmt.Sprint(p.prometheus.Query(p.t, `ALERTS`))
		})
		p.t.Logf("%s fired after %.1f s", a, time.Since(began).Seconds())
		p.fired[a] = true
	}
}

func (p *pager) resolves(alerts ...string) {
	p.t.Helper()
	for _, a := range alerts {
		began := time.Now()
		eventually(p.t, a+" is over", func() (bool, string) { return p.firing(a) == 0, fmt.Sprint(p.prometheus.Query(p.t, `ALERTS`)) })
		p.t.Logf("%s was over after %.1f s", a, time.Since(began).Seconds())
	}
}

// offer posts batches of n events to a replica, five a second, whatever it answers, until it is stopped.
func offer(p *process, script demo.Script, n int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	address := p.address() + "/v1/events"
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for at := 0; ; at = (at + n) % (len(script.Activity) - n) {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			resp, err := http.Post(address, "application/cloudevents-batch+json", bytes.NewReader(batch(script.Activity[at:at+n]))) //nolint:noctx // the quit ends the loop
			if err == nil {
				resp.Body.Close()
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

// otherBuild is the program with another version in it.
func otherBuild(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "safebox")
	if err := dbtest.Build(path, "-ldflags=-X main.version=of-another-day"); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every alert, by its fault made for real on three replicas, and over when the fault is.
func everyAlertFires(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{})
	s := newSite(t, server.Database(t), "SAFEBOX_DRAIN_SECONDS=600")
	p := &pager{t: t, prometheus: dbtest.Prometheus(t, 500*time.Millisecond, watch.Rules(hurried)), fired: map[string]bool{}}
	script := demo.NewScript(29, 20_000)
	var ps []*process
	start := func(env ...string) *process {
		ps = append(ps, s.start(env, "worker"))
		scraped(t, p.prometheus, ps...)
		return ps[len(ps)-1]
	}

	// A reader keeps the leader's migration waiting.
	s.asAlembicLeftIt("20260416_0003")
	reader := s.hold("LOCK TABLE registeredsafebox IN ACCESS SHARE MODE")
	for range 2 {
		start()
	}
	p.fires("SafeboxNoReplicaReady", "SafeboxInitialisationSlow")
	reader()
	starved := start("DB_POOL_SIZE=1", "DB_MAX_OVERFLOW=0", "DB_POOL_TIMEOUT_SECONDS=3") // one lane that waits is enough
	for _, w := range ps {
		w.await(nowReady)
	}
	p.resolves("SafeboxNoReplicaReady", "SafeboxInitialisationSlow")
	post(t, ps[0], script.Setup)
	s.idle()

	// A quote whose amount would take the balance out of range has no reason of the catalogue: it parks the wallet.
	poisoned := event.EncodeNpub([32]byte{77})
	poison := func(id, typ, data string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","source":"/poison","id":%q,"type":"safebox.%s.v1","subject":%q,"data":%s}`, id, typ, poisoned, data)
	}
	post(t, ps[0], [][]byte{
		poison("1", "wallet.registered", fmt.Sprintf(`{"npub":%q,"handle":"poisoned","home_relay":"wss://relay.example.org","onboard_code":"x"}`, poisoned)),
		poison("2", "funds.credited", fmt.Sprintf(`{"amount":%d}`, event.MaxAmount)),
		poison("3", "quote.created", `{"quote":"q","amount":5,"mint":"m"}`),
		poison("4", "quote.paid", `{"quote":"q"}`),
	})
	p.fires("SafeboxWalletParked")
	s.ok("parked", "skip", poisoned, "--reason", "a test")
	p.resolves("SafeboxWalletParked")

	alertsOfALock(t, s, p, script, ps, starved)
	s.ok("backup", filepath.Join(t.TempDir(), "once.backup"))
	ps[1] = s.start(nil, "worker") // its first look finds the backup, which is old by then
	scraped(t, p.prometheus, ps...)
	ps[1].await(nowReady)
	p.resolves("SafeboxReplicaDown")
	p.fires("SafeboxBackupOld", "SafeboxBackupUnverified")
	alertsOfAnotherBuild(t, s, p, &ps)
	alertsOfAFullDisk(t, s, server, p, ps[0])

	p.resolves("SafeboxStatementErrors") // whatever the faults before made of it
	server.Stop(dbtest.Fast)
	p.fires("SafeboxDatabaseUnreachable", "SafeboxStatementErrors")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	p.resolves("SafeboxDatabaseUnreachable", "SafeboxStatementErrors")
	s.idle()
	s.ok("audit")
	for _, a := range watch.Alerts(hurried) {
		if !p.fired[a.Name] {
			t.Errorf("%s never fired", a.Name)
		}
	}
}

// hold keeps a lock in a transaction of somebody else's until it is let go.
func (s *site) hold(lock string) (release func()) {
	s.t.Helper()
	c, err := s.sql().Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.ExecContext(s.t.Context(), "BEGIN; "+lock); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.t.Helper()
		if _, err := c.ExecContext(s.t.Context(), "ROLLBACK"); err != nil {
			s.t.Fatal(err)
		}
		c.Close()
	}
}

// alertsOfALock: somebody locks the wallets. Lanes hold their connections, events wait, a replica cannot drain.
func alertsOfALock(t *testing.T, s *site, p *pager, script demo.Script, ps []*process, starved *process) {
	release := s.hold("LOCK TABLE registeredsafebox IN ACCESS EXCLUSIVE MODE")
	stop := offer(ps[0], script, 200)
	defer stop()
	p.fires("SafeboxPoolNearlyExhausted", "SafeboxPoolWaits")
	ps[1].signal(syscall.SIGTERM)
	p.fires("SafeboxReplicaNotDraining", "SafeboxEventsStuck", "SafeboxBacklogGrowing")
	stop()
	release()
	if code := ps[1].wait(); code != 0 {
		t.Errorf("the replica that drained: exit %d", code)
	}
	p.fires("SafeboxLag", "SafeboxReplicaDown")
	p.resolves("SafeboxReplicaNotDraining", "SafeboxEventsStuck", "SafeboxBacklogGrowing", "SafeboxPoolNearlyExhausted", "SafeboxPoolWaits", "SafeboxLag")
	if starved.cmd.ProcessState != nil {
		t.Error("the replica with the small pool did not live through it")
	}
}

// alertsOfAnotherBuild: someone dropped an index, two wallets got one handle, and a replica of another version comes.
func alertsOfAnotherBuild(t *testing.T, s *site, p *pager, ps *[]*process) {
	s.dropUniqueIndexes()
	s.insertWallet("npub-of-amy", "amy")
	s.insertWallet("npub-of-another-amy", "amy")
	s.exec("UPDATE registeredsafebox SET opening_balance = balance WHERE handle = 'amy'") // for the audit
	c := s.command(nil, "worker")
	c.Path = otherBuild(t)
	other := s.launch(c)
	*ps = append(*ps, other)
	scraped(t, p.prometheus, *ps...)
	other.await(nowReady)
	p.fires("SafeboxGuardViolated")
	if r := s.runWith([]string{"SUPPORTED_CURRENCIES=SAT,USD"}, "", "init"); r.code != exitData {
		t.Errorf("a leader with other currencies and a broken guard: exit %d\n%s", r.code, r.stderr)
	}
	p.fires("SafeboxInitialisationFailed")
	s.exec("UPDATE registeredsafebox SET handle = 'amy-2' WHERE npub = 'npub-of-another-amy'")
	s.ok("init")
	p.resolves("SafeboxInitialisationFailed", "SafeboxGuardViolated")
	p.fires("SafeboxVersionSkew")
	other.signal(syscall.SIGTERM)
	if code := other.wait(); code != 0 {
		t.Errorf("the other build: exit %d", code)
	}
	*ps = (*ps)[:len(*ps)-1]
	scraped(t, p.prometheus, *ps...)
	p.resolves("SafeboxVersionSkew")
}

// alertsOfAFullDisk: every append writes into a table whose file is /dev/full, a disk without room.
func alertsOfAFullDisk(t *testing.T, s *site, server *dbtest.PostgreSQLServer, p *pager, replica *process) {
	s.exec("CREATE TABLE onto_full_disk (n integer)",
		`CREATE FUNCTION onto_full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO onto_full_disk VALUES (1); RETURN NULL; END $$`)
	path := filepath.Join(server.SocketDir(), "data", s.column("SELECT pg_relation_filepath('onto_full_disk')")[0])
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	s.exec("CREATE TRIGGER onto_full_disk AFTER INSERT ON event_log EXECUTE FUNCTION onto_full_disk()")
	stop := offer(replica, demo.NewScript(31, 20_000), 200)
	defer stop()
	p.fires("SafeboxDiskFull")
	stop()
	s.exec("DROP TRIGGER onto_full_disk ON event_log", "DROP FUNCTION onto_full_disk", "DROP TABLE onto_full_disk")
	p.resolves("SafeboxDiskFull")
}
