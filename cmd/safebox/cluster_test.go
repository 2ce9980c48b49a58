package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

const (
	nowReady = `"processing events"`
	nowLeads = `"this process initialises the database"`
)

func lines(events []json.RawMessage) []byte {
	var b bytes.Buffer
	for _, e := range events {
		b.Write(e)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// workers starts n workers at once and waits until each says that it processes events, and so is ready.
func (s *site) workers(n int, env ...string) []*process {
	s.t.Helper()
	ps := make([]*process, n)
	for i := range ps {
		ps[i] = s.start(env, "worker")
	}
	for _, p := range ps {
		p.await(nowReady)
	}
	return ps
}

// drain ends workers with SIGTERM and expects each to end well and to have had nothing to complain of.
func drain(t *testing.T, ps []*process) {
	t.Helper()
	for _, p := range ps {
		p.signal(syscall.SIGTERM)
	}
	for i, p := range ps {
		if code := p.wait(); code != 0 {
			t.Errorf("worker %d: exit %d after SIGTERM; its log:\n%s", i, code, p.log.text())
		}
		if bad := p.log.troubles(); len(bad) > 0 {
			t.Errorf("worker %d complained:\n%s", i, strings.Join(bad, "\n"))
		}
	}
}

// holds compares the database with the tally.
func (s *site) holds(want demo.Tally) {
	s.t.Helper()
	wallets, _ := answer[[]ledger.Wallet](s, "wallet", "list")
	balances := map[string]int64{}
	for _, w := range wallets {
		balances[w.Npub] = w.Balance
	}
	if diff := cmp.Diff(want.Balances, balances); diff != "" {
		s.t.Errorf("balances (-tally +database):\n%s", diff)
	}
	audit, r := answer[ledger.Audit](s, "audit")
	if !audit.OK || r.code != 0 || audit.Pending != 0 || audit.Parked != 0 {
		s.t.Errorf("audit: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	got := demo.Tally{
		Lines: want.Lines, Events: audit.Events, Applied: audit.Applied, Rejected: audit.Rejected,
		Reasons: audit.Reasons, Balances: balances,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("audit (-tally +database):\n%s", diff)
	}
	if !audit.BalanceTotal.Equal(ledger.Sats(want.Total())) {
		s.t.Errorf("the balances sum to %s, by the tally to %d", audit.BalanceTotal, want.Total())
	}
}

func (s *site) publish(file string) publish.Summary {
	s.t.Helper()
	sum, r := answer[publish.Summary](s, "event", "publish", file)
	if r.code != 0 || !sum.Clean() {
		s.t.Fatalf("publish %s: exit %d\n%s%s", file, r.code, r.stdout, r.stderr)
	}
	return sum
}

func TestThreeWorkersApplyEveryEventOnceAndDrain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(7, 1500)
		setup, activity := s.write("setup.jsonl", lines(script.Setup)), s.write("activity.jsonl", lines(script.Activity))
		ps := s.workers(3)
		s.publish(setup)
		s.idle()
		s.publish(activity)
		s.idle()
		s.holds(script.Tally)

		st, _ := answer[query.Status](s, "status")
		if !st.Ready || st.Revision == "" || st.Leader == "" || st.Backlog != 0 || len(st.Workers) != 3 {
			t.Errorf("status: %+v", st)
		}

		t.Run("what was published before counts as duplicates and changes nothing", func(t *testing.T) {
			s := s.in(t)
			again := s.publish(setup)
			if again.Appended != 0 || again.Duplicates != len(script.Setup) {
				t.Errorf("setup again: %+v", again)
			}
			again = s.publish(activity)
			if again.Appended != 0 || again.Duplicates != len(script.Activity) {
				t.Errorf("activity again: %+v", again)
			}
			s.idle()
			s.holds(script.Tally)
		})
		t.Run("a line with another amount is a conflict and changes nothing", func(t *testing.T) {
			s := s.in(t)
			changed := s.write("changed.jsonl", bytes.Replace(script.Setup[1], []byte(`"amount":`), []byte(`"amount":1`), 1))
			sum, r := answer[publish.Summary](s, "event", "publish", changed)
			if r.code != exitData || sum.Conflicts != 1 || sum.Appended != 0 || len(sum.Problems) != 1 {
				t.Errorf("exit %d, %+v", r.code, sum)
			}
			s.idle()
			s.holds(script.Tally)
		})
		drain(t, ps)
		if st, r := answer[query.Status](s, "status"); len(st.Workers) != 0 {
			t.Errorf("workers that drained are still shown: %s", r.stdout)
		}
		leaders := 0
		for _, p := range ps {
			leaders += strings.Count(p.log.text(), nowLeads)
		}
		if leaders != 1 {
			t.Errorf("%d workers led", leaders)
		}
	})
}

// in is the site seen from a subtest.
func (s *site) in(t *testing.T) *site {
	sub := *s
	sub.t = t
	return &sub
}

func TestKilledWorkersLoseNothingAndApplyNothingTwice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url, "SAFEBOX_BATCH=5", "SAFEBOX_LANES=1") // many small batches: many moments to die at
		script := demo.NewScript(11, 1000)
		ps := s.workers(3)
		s.publish(s.write("setup.jsonl", lines(script.Setup)))
		s.idle()
		atWork := 0
		for n := range 4 {
			s.idle()
			done := s.done()
			part := script.Activity[len(script.Activity)*n/4 : len(script.Activity)*(n+1)/4]
			file := s.write("part.jsonl", lines(part))
			publisher := s.start(nil, "event", "publish", file)
			if s.processed(done+1) > 0 {
				atWork++
			}
			victim := ps[n%len(ps)]
			victim.signal(syscall.SIGKILL)
			victim.wait()
			ps[n%len(ps)] = s.start(nil, "worker")
			if code := publisher.wait(); code != 0 {
				t.Fatalf("publisher: exit %d\n%s", code, publisher.log.text())
			}
		}
		if atWork == 0 {
			t.Error("no worker was killed while there was work: the test proves nothing")
		}
		s.idle()
		s.holds(script.Tally)
		for _, p := range ps {
			p.await(nowReady)
		}
		drain(t, ps)
	})
}

// In the long form there are twenty.
func TestWorkersStartedAtOnceOnAnEmptyDatabaseHaveOneLeader(t *testing.T) {
	n := 6
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		n = 20
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		ps := s.workers(n)
		leaders := 0
		for _, p := range ps {
			leaders += strings.Count(p.log.text(), nowLeads)
		}
		if leaders != 1 {
			t.Errorf("%d workers led", leaders)
		}
		eventually(t, "all workers are seen", func() (bool, string) {
			st, r := answer[query.Status](s, "status")
			return len(st.Workers) == n && st.Ready, r.stdout
		})
		drain(t, ps)
	})
}

func TestWorkerUntilIdleProcessesWhatThereIsAndExits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(3, 300)
		s.publish(s.write("setup.jsonl", lines(script.Setup))) // an empty database is prepared by the publisher
		s.ok("worker", "--until-idle")
		s.publish(s.write("activity.jsonl", lines(script.Activity)))
		s.ok("worker", "--until-idle")
		s.holds(script.Tally)
	})
}

func TestSecondSignalEndsAWorkerAtOnceAndLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url, "SAFEBOX_DRAIN_SECONDS=3600")
		script := demo.NewScript(5, 10)
		s.ok("init")
		p := s.workers(1)[0]

		s.publish(s.write("setup.jsonl", lines(script.Setup[:2])))
		s.idle()

		// Somebody else holds what the worker needs, so that it cannot finish: on PostgreSQL the wallets, for which there
		// is work; on SQLite the write lock, without which it cannot even take its heartbeat away.
		db := s.sql()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		hold, more := "BEGIN; LOCK TABLE registeredsafebox IN ACCESS EXCLUSIVE MODE", s.write("more.jsonl", lines(script.Setup[2:4]))
		if s.dialect() == storage.SQLite {
			hold = "BEGIN IMMEDIATE"
			s.publish(more)
		}
		if _, err := conn.ExecContext(t.Context(), hold); err != nil {
			t.Fatal(err)
		}
		if s.dialect() == storage.PostgreSQL {
			s.publish(more)
		}
		p.signal(syscall.SIGTERM)
		p.await("drain")
		p.signal(syscall.SIGINT) // another kind, which is never taken for an echo of the first
		code := p.wait()
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if code != 128+int(syscall.SIGINT) {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
		s.ok("worker", "--until-idle")
		audit, _ := answer[ledger.Audit](s, "audit")
		if !audit.OK || audit.Applied != 4 {
			t.Errorf("audit: %+v", audit)
		}
	})
}
