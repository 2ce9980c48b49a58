package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/event"
)

// build makes the program, as make build does.
func build(ctx context.Context, tb testing.TB) (string, error) {
	file := filepath.Join(tb.TempDir(), "safebox")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", file, "./cmd/safebox")
	c.Dir = filepath.Join("..", "..", "..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err := output(c)
	return file, err
}

// withWorkers runs worker processes on a database while the work goes on, and drains them afterwards.
func withWorkers(ctx context.Context, program, url string, n int, work func(pids []int) error) (err error) {
	var running []*exec.Cmd
	var pids []int
	defer func() {
		for _, c := range running {
			err = errors.Join(err, c.Process.Signal(syscall.SIGTERM))
		}
		for _, c := range running {
			err = errors.Join(err, c.Wait())
		}
	}()
	for range n {
		c := exec.Command(program, "worker") //nolint:noctx // it ends by a signal
		c.Env = append(os.Environ(), "DATABASE="+url, "SAFEBOX_HTTP_ADDR=127.0.0.1:0", "SAFEBOX_LOG_LEVEL=warn")
		c.Stderr = os.Stderr
		c.WaitDelay = 10 * time.Second
		if err := c.Start(); err != nil {
			return err
		}
		running, pids = append(running, c), append(pids, c.Process.Pid)
	}
	if err := ready(ctx, url, n); err != nil {
		return err
	}
	return work(pids)
}

// ready waits until so many replicas tell that they are at work.
func ready(ctx context.Context, url string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var there int
		err := query(ctx, url, "SELECT count(*) FROM safebox_replica WHERE state = 'ready'", &there)
		if err != nil || there == n {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d replicas are ready: %w", there, n, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// query reads one row.
func query(ctx context.Context, url, text string, into ...any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.QueryRow(ctx, text).Scan(into...)
}

// idleCost is what idle replicas cost, each of them.
type idleCost struct {
	statements float64 // a second
	core       float64 // the share of one core
}

// idle measures three worker processes that have nothing to do.
func idle(ctx context.Context, program, url string, during time.Duration) (cost idleCost, err error) {
	const replicas = 3
	if err := execute(ctx, url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return cost, err
	}
	// pg_stat_statements counts the statements of all databases; nobody else is there, and its own readings are left out.
	const calls = `SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'`
	err = withWorkers(ctx, program, url, replicas, func(pids []int) error {
		if err := pause(ctx, 7*time.Second); err != nil { // until the start is over, and the first look at the guards
			return err
		}
		var before, after float64
		if err := query(ctx, url, calls, &before); err != nil {
			return err
		}
		cpu, err := processorTime(pids)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := pause(ctx, during); err != nil {
			return err
		}
		used, err := processorTime(pids)
		if err != nil {
			return err
		}
		took := time.Since(began).Seconds()
		if err := query(ctx, url, calls, &after); err != nil {
			return err
		}
		cost = idleCost{(after - before) / took / replicas, (used - cpu).Seconds() / took / replicas}
		return nil
	})
	return cost, err
}

// processorTime is what processes have used of the processors so far. Linux counts it in hundredths of a second.
func processorTime(pids []int) (used time.Duration, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(b), ") ") // behind the name
		fields := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime and stime, which are fields 14 and 15 of proc(5)
			ticks, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, err
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used, nil
}

// peakMemory is the most memory that a process has had so far, in MB.
func peakMemory(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if found == nil {
		return 0, errors.New("/proc tells no VmHWM")
	}
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	return kb / 1024, err
}

// backlog fills the log of a database whose wallets are open with n credits more, by one statement.
func backlog(ctx context.Context, url string, n, wallets int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tag, err := conn.Exec(ctx, `
		WITH wallet AS MATERIALIZED (
			SELECT subject, partition, row_number() OVER (ORDER BY subject) AS n,
				row_number() OVER (PARTITION BY partition ORDER BY subject) AS place, count(*) OVER (PARTITION BY partition) AS neighbours
			FROM event_log WHERE topic = $1 AND type = $2
		), head AS MATERIALIZED (SELECT partition, max(position) AS position FROM event_log WHERE topic = $1 GROUP BY partition)
		INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at)
		SELECT $1, w.partition, h.position + k * w.neighbours + w.place, '/backlog', 'b-' || lpad((k * $4 + w.n)::text, 10, '0'), $3, w.subject,
			'2026-02-01'::timestamptz + (k * $4 + w.n) * interval '1 ms', '{"amount":250,"memo":"tip"}', NULL,
			now() + (k * $4 + w.n) * interval '1 microsecond'
		FROM generate_series(0, $5::bigint - 1) AS k CROSS JOIN wallet w JOIN head h USING (partition)`,
		event.Topic, event.TypeWalletRegistered, event.TypeFundsCredited, wallets, n/wallets)
	if err == nil && tag.RowsAffected() != int64(n) {
		err = fmt.Errorf("%d rows instead of %d", tag.RowsAffected(), n)
	}
	if err != nil {
		return fmt.Errorf("filling the log: %w", err)
	}
	return execute(ctx, url, "VACUUM (ANALYZE) event_log", "CHECKPOINT")
}

// claimed is how many events a measured claim takes: few enough that a short backlog has them in each partition.
const claimed = 20

// claims measures what it costs to claim a batch and to give it back, on each of two databases by turns: the
// median of each, in microseconds.
func claims(ctx context.Context, tb testing.TB, urls [2]string, each int) (micros [2]float64, err error) {
	var dbs [2]storage.DB
	for i, url := range urls {
		o := cluster(tb, url).Storage
		o.Role, o.Instance = "bench", "claimer"
		if dbs[i], err = storage.Open(ctx, o); err != nil {
			return micros, err
		}
		defer dbs[i].Close()
	}
	var took [2][]time.Duration
	for n := range each {
		for i, db := range dbs {
			began := time.Now()
			b, err := db.Claim(ctx, event.Topic, worker.Group, []int{n % event.Partitions}, claimed)
			if err != nil {
				return micros, err
			}
			records := len(b.Records())
			b.Rollback()
			took[i] = append(took[i], time.Since(began))
			if records != claimed {
				return micros, fmt.Errorf("a claim of partition %d gave %d events instead of %d", n%event.Partitions, records, claimed)
			}
		}
	}
	for i := range took {
		micros[i] = bench.NewLatency(took[i]).P50 * 1000
	}
	return micros, nil
}

// longDrain is what a worker process did with a long backlog.
type longDrain struct {
	megabytes float64 // the most memory that the process had
	events    int64   // that it drained meanwhile
	rate      float64
	// growth is by how much the tables that are not append-only grew with their indexes, in bytes an event.
	growth float64
}

// drainLong lets one worker process drain for so long, or to the end.
func drainLong(ctx context.Context, program, url string, during time.Duration) (d longDrain, err error) {
	const progress = "SELECT coalesce(sum(position), 0) FROM event_cursor"
	const size = `SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname NOT IN ('event_log', 'ledger_entry', 'bench_queue')`
	var bytesBefore, bytesAfter, before, after, head int64
	if err := query(ctx, url, size, &bytesBefore); err != nil {
		return d, err
	}
	if err := query(ctx, url, progress, &before); err != nil {
		return d, err
	}
	if err := query(ctx, url, "SELECT count(*) FROM event_log", &head); err != nil {
		return d, err
	}
	began := time.Now()
	err = withWorkers(ctx, program, url, 1, func(pids []int) error {
		for after < head && time.Since(began) < during {
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
			if err := query(ctx, url, progress, &after); err != nil {
				return err
			}
		}
		d.events, d.rate = after-before, float64(after-before)/time.Since(began).Seconds()
		d.megabytes, err = peakMemory(pids[0])
		return err
	})
	if err != nil {
		return d, err
	}
	if err := query(ctx, url, size, &bytesAfter); err != nil {
		return d, err
	}
	d.growth = float64(bytesAfter-bytesBefore) / math.Max(1, float64(d.events))
	return d, nil
}

// startUp are the figures of initlock's own benchmark, in milliseconds.
type startUp struct{ behind, ready float64 }

// startFifty runs the benchmark of initlock: fifty processes on an empty database, and one on a ready database. The figures
// are the medians of five starts.
func startFifty(ctx context.Context) (s startUp, err error) {
	c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Fifty/empty|Ready/safebox", "-benchtime", "5x", "-timeout", "10m", ".")
	c.Dir = filepath.Join("..", "..", "..", "initlock", "bench")
	out, err := output(c)
	if err != nil {
		return s, err
	}
	if s.behind, err = metric(out, "safebox-behind-ms"); err != nil {
		return s, err
	}
	s.ready, err = metric(out, "ready-ms")
	return s, err
}

// metric finds the figure that stands before a unit in what go test prints.
func metric(out, unit string) (float64, error) {
	found := regexp.MustCompile(`([0-9.]+) ` + regexp.QuoteMeta(unit)).FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("the benchmark printed no %s:\n%s", unit, tail(out))
	}
	return strconv.ParseFloat(found[1], 64)
}

// versions are those of what was measured: Go's modules by name, and the programs.
func versions(ctx context.Context, url string) (map[string]string, error) {
	v := map[string]string{}
	var server string
	if err := query(ctx, url, "SELECT current_setting('server_version')", &server); err != nil {
		return nil, err
	}
	v["PostgreSQL"] = server
	out, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-json", "github.com/riverqueue/river", "github.com/ThreeDotsLabs/watermill-sql/v4"))
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var m struct{ Path, Version string }
		if err := d.Decode(&m); err != nil {
			return nil, err
		}
		v[m.Path] = m.Version
	}
	for name, args := range map[string][]string{"Go": {"go", "env", "GOVERSION"}, "Node.js": {"node", "--version"}} {
		if out, err = output(exec.CommandContext(ctx, args[0], args[1:]...)); err != nil {
			return nil, err
		}
		v[name] = strings.TrimSpace(out)
	}
	b, err := os.ReadFile(filepath.Join("graphile", "package.json"))
	if err != nil {
		return nil, err
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	for name, version := range p.Dependencies {
		v[name] = version
	}
	return v, nil
}
