package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
)

// sessionSettings are what a worker asks of a server's sessions; a pooler may be told to ignore them.
const sessionSettings = "ignore_startup_parameters = client_connection_check_interval,idle_in_transaction_session_timeout," +
	"tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,tcp_user_timeout"

func TestWorkerOnAPoolerAloneIsToldToNameTheServer(t *testing.T) {
	for name, settings := range map[string][]string{
		"which refuses the settings of a session": nil,
		"which ignores them":                      {sessionSettings},
	} {
		t.Run(name, func(t *testing.T) {
			server := newSite(t, dbtest.PostgreSQL(t))
			s := newSite(t, dbtest.PgBouncer(t, server.url, dbtest.TransactionMode, settings...))
			r := s.run("worker", "--until-idle")
			if r.code != exitConfig || !strings.Contains(r.stderr, "SAFEBOX_DATABASE_DIRECT") {
				t.Errorf("exit %d\n%s", r.code, r.stderr)
			}
			server.unlocked()
		})
	}
}

func TestThreeWorkersBehindPgBouncerApplyEveryEventOnceThoughOneIsKilled(t *testing.T) {
	server := newSite(t, dbtest.PostgreSQL(t))
	s := newSite(t, dbtest.PgBouncer(t, server.url, dbtest.TransactionMode),
		"SAFEBOX_DATABASE_DIRECT="+server.url, "SAFEBOX_BATCH=20") // many small batches: many moments to die at
	script := demo.NewScript(13, 2000)
	ps := s.workers(3)
	s.publish(s.write("setup.jsonl", lines(script.Setup)))
	server.idle()

	done := server.done()
	publisher := s.start(nil, "event", "publish", s.write("activity.jsonl", lines(script.Activity)))
	waiting := server.processed(done + 100)
	ps[0].signal(syscall.SIGKILL)
	ps[0].wait()
	if waiting == 0 {
		t.Error("the worker was killed while there was no work: the test proves nothing")
	}
	if code := publisher.wait(); code != 0 {
		t.Fatalf("publisher: exit %d\n%s", code, publisher.log.text())
	}
	server.idle()
	s.holds(script.Tally)
	drain(t, ps[1:])
	server.unlocked()
}

// unlocked fails the test if a session of the database still holds an advisory lock or a transaction, soon after those
// who took them are gone.
func (s *site) unlocked() {
	s.t.Helper()
	db := s.sql()
	eventually(s.t, "no lock and no transaction is left behind", func() (bool, string) {
		var locks, open int
		err := db.QueryRowContext(s.t.Context(), `SELECT
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
			(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%')`).Scan(&locks, &open)
		if err != nil {
			s.t.Fatal(err)
		}
		return locks+open == 0, fmt.Sprintf("%d advisory locks and %d open transactions", locks, open)
	})
}
