package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/query"
)

// readings are the values of a scrape by series, without the prefix safebox_.
type readings map[string]float64

func read(text string) readings {
	values := readings{}
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "safebox_"), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			values[series] = n
		}
	}
	return values
}

// metrics asks a worker for its metrics.
func (p *process) metrics() readings {
	p.t.Helper()
	status, body := ask(p.t, http.MethodGet, p.address()+"/metrics", "", "", nil)
	if status != http.StatusOK {
		p.t.Fatalf("metrics: %d %s", status, body)
	}
	return read(body)
}

// want compares series with the values they should have.
func (r readings) want(t *testing.T, who string, want readings) {
	t.Helper()
	for series, value := range want {
		if got, there := r[series]; !there || got != value {
			t.Errorf("%s: %s is %v (%t), want %v", who, series, got, there, value)
		}
	}
}

func TestMetricsTellHowEachReplicaBecameReady(t *testing.T) {
	s := newSite(t, dbtest.PostgreSQL(t))
	s.asAlembicLeftIt("20260416_0003")
	// A reader keeps the migration from altering its table, so that the leader stays at it until the test lets it go on.
	reader, err := s.sql().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.ExecContext(t.Context(), "BEGIN; LOCK TABLE registeredsafebox IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	leader := s.start(nil, "worker", "--instance", "first")
	leader.await(nowLeads)
	follower := s.start(nil, "worker", "--instance", "second")
	follower.await("waiting for it")

	leader.metrics().want(t, "the leader at work", readings{
		`init_state{state="leading"}`: 1, `init_state{state="waiting"}`: 0, `init_state{state="ready"}`: 0, `init_leader`: 1,
		`init_wait_seconds`: 0, `schema_info{revision="unknown"}`: 0,
	})
	waiting := follower.metrics()
	waiting.want(t, "the waiter", readings{
		`init_state{state="waiting"}`: 1, `init_state{state="leading"}`: 0, `init_state{state="ready"}`: 0, `init_leader`: 0,
		`init_duration_seconds{phase="wait"}`: 0,
	})
	eventually(t, "the waiter's time grows while it waits", func() (bool, string) {
		now := follower.metrics()[`init_wait_seconds`]
		return now > waiting[`init_wait_seconds`], strconv.FormatFloat(now, 'g', -1, 64)
	})
	eventually(t, "status names the leader and the waiter", func() (bool, string) {
		st, r := answer[query.Status](s, "status")
		return strings.Contains(st.Init.Holder, "first") && slices.Equal(st.Init.Waiters, []string{"second"}), r.stdout
	})

	if _, err := reader.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	leader.await(nowReady)
	follower.await(nowReady)
	late := s.start(nil, "worker", "--instance", "third")
	late.await(nowReady)
	for _, c := range []struct {
		who     string
		p       *process
		outcome string
		leader  float64
	}{{"the leader", leader, "led", 1}, {"the follower", follower, "followed", 0}, {"the latecomer", late, "already_ready", 0}} {
		var r readings
		eventually(t, c.who+" has told the revision", func() (bool, string) {
			r = c.p.metrics()
			return r[`schema_info{revision="`+migrations.Latest()+`"}`] == 1, ""
		})
		want := readings{
			`init_state{state="ready"}`: 1, `init_state{state="waiting"}`: 0, `init_state{state="leading"}`: 0, `init_state{state="failed"}`: 0,
			`init_leader`: c.leader,
		}
		for _, outcome := range []string{"led", "followed", "already_ready", "newer", "failed"} {
			want[`init_elections_total{outcome="`+outcome+`"}`] = 0
		}
		want[`init_elections_total{outcome="`+c.outcome+`"}`] = 1
		for _, guard := range migrations.Guards() {
			want[`guard_violations{guard="`+guard+`"}`] = 0
		}
		r.want(t, c.who, want)
		worked, waited := r[`init_duration_seconds{phase="initialise"}`] > 0, r[`init_duration_seconds{phase="wait"}`] > 0
		if worked != (c.outcome == "led") || waited != (c.outcome == "followed") || waited != (r[`init_wait_seconds`] > 0) {
			t.Errorf("%s: worked %v s, waited %v s, in all %v s", c.who, r[`init_duration_seconds{phase="initialise"}`],
				r[`init_duration_seconds{phase="wait"}`], r[`init_wait_seconds`])
		}
	}
}

func TestMetricsCountTheValuesThatBreakAGuard(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		s.dropUniqueIndexes()
		for n, handle := range []string{"amy", "amy", "amy", "ben", "ben", "cat"} {
			s.insertWallet("npub-"+strconv.Itoa(n), handle)
		}
		s.exec("UPDATE safebox_init SET digest = 'of an earlier build'")
		u, err := storage.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		a := &app{conf: config{Database: u, Direct: u, Pool: storage.DefaultPool}, log: slog.New(slog.DiscardHandler), instance: "counting"}
		registry := metrics.New(metrics.Options{Guards: migrations.Guards(), Logger: a.log})
		p, err := a.prepare(registry)
		if err != nil {
			t.Fatal(err)
		}
		err = a.with(t.Context(), a.options("worker"), func(ctx context.Context, db storage.DB) error {
			_, err := db.Initialise(ctx, p.lock, counted(p.work, registry.Guard))
			return err
		})
		var bad *migrations.GuardError
		if !errors.As(err, &bad) {
			t.Fatalf("got %v", err)
		}
		rec := httptest.NewRecorder()
		registry.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		text, err := io.ReadAll(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		read(string(text)).want(t, "the leader", readings{
			`guard_violations{guard="registeredsafebox.handle"}`: 2, `guard_violations{guard="registeredsafebox.npub"}`: 0,
			`init_state{state="failed"}`: 1, `init_elections_total{outcome="failed"}`: 1, `init_leader`: 0,
		})
	})
}

// A start that finds the database ready looks at no guard: an index that someone dropped since must show all the same.
func TestEveryReplicaTellsTheValuesThatBreakAGuard(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		s.ok("init")
		s.dropUniqueIndexes()
		for n, handle := range []string{"amy", "amy", "ben"} {
			s.insertWallet("npub-"+strconv.Itoa(n), handle)
		}
		for _, p := range s.workers(2) {
			eventually(t, "a replica that led nothing tells the value that two wallets have", func() (bool, string) {
				m := p.metrics()
				n := m[`guard_violations{guard="registeredsafebox.handle"}`]
				return n == 1 && m[`guard_violations{guard="registeredsafebox.npub"}`] == 0, strconv.FormatFloat(n, 'g', -1, 64)
			})
		}
	})
}

func TestAReplicaWithoutItsDatabaseShowsNoOldNumbers(t *testing.T) {
	t.Parallel() // it waits for most of its time
	server := dbtest.Server(t, dbtest.Options{})
	s := newSite(t, server.Database(t))
	p := s.workers(1)[0]
	told := []string{
		`event_backlog{group="ledger"}`, `event_oldest_pending_timestamp_seconds`, `parked_events`, `parked_wallets`,
		`init_marker_state{state="failed"}`,
	}
	var before readings
	// A scrape is no snapshot: one that a heartbeat falls into may show the time that it measured without what it measured.
	eventually(t, "a heartbeat has measured", func() (bool, string) {
		before = p.metrics()
		return before[`replica_measured_timestamp_seconds`] > 0 && before[`init_marker_state{state="ready"}`] == 1, ""
	})
	for _, series := range told {
		before.want(t, "a replica at rest", readings{series: 0})
	}
	before.want(t, "a replica at rest", readings{
		`replica_state{state="ready"}`: 1, `replica_state{state="starting"}`: 0, `init_marker_state{state="ready"}`: 1,
		`db_statement_errors_total{class="connection",statement="connect"}`: 0,
	})
	server.Stop(dbtest.Fast)
	eventually(t, "no number is shown that was true before the database went away", func() (bool, string) {
		m := p.metrics()
		for _, series := range told {
			if v, there := m[series]; !there || !math.IsNaN(v) {
				return false, series
			}
		}
		return m[`replica_measured_timestamp_seconds`] > 0, ""
	})
	eventually(t, "attempts to connect are counted as they fail", func() (bool, string) {
		return p.metrics()[`db_statement_errors_total{class="connection",statement="connect"}`] > 0, ""
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the numbers are back", func() (bool, string) {
		m := p.metrics()
		return m[told[0]] == 0 && m[`replica_measured_timestamp_seconds`] > before[`replica_measured_timestamp_seconds`], ""
	})
}
