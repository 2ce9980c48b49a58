package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A profile says where the time of a drain goes: what the engine and the database use of the processors, what the database's
// sessions wait for, and what its statements take.
type profile struct {
	rate       float64
	engine     float64 // microseconds of a core for an event; the database's are not among them
	functions  string  // of the engine, by pprof
	waits      []share // of the looks at the sessions of the lanes
	statements []statementCost
}

type share struct {
	name  string
	share float64
}

// statementCost is a row of pg_stat_statements.
type statementCost struct {
	query       string
	calls, rows int64
	mean, share float64 // milliseconds; of the time of all statements
	buffers     float64 // touched by a call
	wal         float64 // bytes of a call
}

// profiles drains once more, and looks at it: it is no measurement, since looking costs time.
func (l *lab) profiles() error {
	if !l.wanted("profile") {
		return nil
	}
	_, err := l.copyOf("uniform", func(url string) (rate float64, err error) {
		l.profile, err = l.profileOf(url)
		return l.profile.rate, err
	})()
	if err != nil && l.ctx.Err() == nil { // a report without it is better than none after half an hour
		fmt.Printf("the drain could not be looked at, and the report has no profile: %v\n", err)
		l.profile = profile{}
		return nil
	}
	return err
}

func (l *lab) profileOf(url string) (p profile, err error) {
	if err := execute(l.ctx, url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "SELECT pg_stat_statements_reset()"); err != nil {
		return p, err
	}
	file := filepath.Join(l.b.TempDir(), "drain.pprof")
	f, err := os.Create(file)
	if err != nil {
		return p, err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return p, err
	}
	before := ownProcessorTime()
	ctx, stop := context.WithCancel(l.ctx)
	var looking sync.WaitGroup
	var looked error
	looking.Go(func() { p.waits, looked = waits(ctx, url) })
	t, err := bulk(l.b, url).Drain(l.ctx, l.events, nil)
	stop()
	looking.Wait()
	p.rate, p.engine = t.Rate(), (ownProcessorTime()-before).Seconds()*1e6/float64(l.events)
	pprof.StopCPUProfile()
	if err = errors.Join(err, looked); err != nil {
		return p, err
	}
	if p.statements, err = statementCosts(l.ctx, url); err != nil {
		return p, err
	}
	top, err := output(exec.CommandContext(l.ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=40", "-focus", "safebox", file))
	p.functions = tidy(top)
	return p, err
}

// tidy keeps the lines of pprof's table that name functions of this project, and the columns that count.
func tidy(top string) string {
	var kept strings.Builder
	for line := range strings.Lines(top) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.Contains(fields[5], "safebox/safebox/") || strings.Contains(fields[5], "/bench") {
			continue
		}
		fmt.Fprintf(&kept, "%7s %7s  %s\n", fields[4], fields[1], strings.TrimPrefix(fields[5], "github.com/safebox/safebox/"))
	}
	return kept.String()
}

func ownProcessorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// waits looks at the sessions of the replicas, until ctx ends, and counts what they were about.
func waits(ctx context.Context, url string) ([]share, error) {
	conn, err := pgx.Connect(context.WithoutCancel(ctx), url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	seen := map[string]int{}
	total := 0
	for pause(ctx, 10*time.Millisecond) == nil {
		rows, err := conn.Query(context.WithoutCancel(ctx), `
			SELECT CASE WHEN wait_event IS NULL THEN 'at work'
				WHEN wait_event_type = 'Client' THEN 'waits for the engine, ' || state ELSE 'waits for ' || wait_event_type || ' ' || wait_event END
			FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safebox/bench/replica%' AND state <> 'idle'`)
		if err != nil {
			return nil, err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			seen[name]++
			total++
		}
	}
	var shares []share
	for name, n := range seen {
		shares = append(shares, share{name, float64(n) / float64(total)})
	}
	slices.SortFunc(shares, func(a, b share) int { return strings.Compare(a.name, b.name) })
	slices.SortStableFunc(shares, func(a, b share) int { return int(1e6 * (b.share - a.share)) })
	return shares, nil
}

func statementCosts(ctx context.Context, url string) ([]statementCost, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT s.query, calls, rows, mean_exec_time, total_exec_time / sum(total_exec_time) OVER (),
			(shared_blks_hit + shared_blks_read)::float8 / calls, wal_bytes::float8 / calls
		FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database() AND s.query NOT LIKE '%pg_stat_%' AND s.query NOT LIKE 'CREATE EXTENSION%'
		ORDER BY total_exec_time DESC LIMIT 8`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c statementCost, err error) {
		err = row.Scan(&c.query, &c.calls, &c.rows, &c.mean, &c.share, &c.buffers, &c.wal)
		return c, err
	})
}

// brief is the beginning of a statement, on one line.
func brief(query string) string {
	words := strings.Join(strings.Fields(query), " ")
	if r := []rune(words); len(r) > 70 {
		words = string(r[:69]) + "…"
	}
	return strings.ReplaceAll(words, "|", "\\|")
}

// markdown writes the profile as a section of the report.
func (p profile) markdown() string {
	if p.rate == 0 {
		return ""
	}
	var m strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&m, format+"\n", args...) }
	line("\n## Where the time of a drain goes\n")
	line("Of one more drain of the same events, looked at while it ran: %s events/s. The engine used %s µs of a core for an event; what", short(p.rate), short(p.engine))
	line("else the cores did was the database's.\n")
	line("The sessions of the lanes, each time that they were in a transaction when they were looked at:\n")
	line("| share | the session |\n| --- | --- |")
	for _, w := range p.waits {
		line("| %.1f %% | %s |", 100*w.share, w.name)
	}
	line("\nThe statements, by `pg_stat_statements`; their times include what they waited for:\n")
	line("| share | calls | mean | rows | buffers a call | WAL a call | statement |\n| --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range p.statements {
		line("| %.1f %% | %s | %s ms | %s | %s | %s B | `%s` |", 100*s.share, grouped(fmt.Sprint(s.calls)), short(s.mean),
			grouped(fmt.Sprint(s.rows)), short(s.buffers), short(s.wal), brief(s.query))
	}
	line("\nThe engine's functions, by pprof: the share of its processor time in each with what it calls, and without.\n")
	line("```text\n%s```", p.functions)
	return m.String()
}
