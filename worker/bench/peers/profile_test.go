package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
)

// A profile says where the time of a piece of work goes: what the engine and the database use of the processors, what the
// database's sessions wait for, and what its statements take.
type profile struct {
	title      string
	rate       float64         // events a second
	engine     float64         // microseconds of a core for an event; a server's are not among them
	functions  string          // of the engine, by pprof
	waits      []share         // of the looks at the sessions of the engine; none on SQLite
	statements []statementCost // none on SQLite
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

// looked is a piece of work that a profile is made of.
type looked struct {
	title    string
	template string // "": it makes a SQLite file of its own
	prepare  func(url string) error
	work     func(url string) (events int, rate float64, err error)
}

// profiles does once more what the table measures, and looks at it: it is no measurement, since looking costs time.
func (l *lab) profiles() error {
	if !l.wanted("profile") {
		return nil
	}
	drain := func(c func(testing.TB, string) bench.Cluster) func(string) (int, float64, error) {
		return func(url string) (int, float64, error) {
			t, err := c(l.b, url).Drain(l.ctx, l.events, nil)
			return t.Events, t.Rate(), err
		}
	}
	for _, w := range []looked{
		{title: "A drain, in batches of up to " + grouped(fmt.Sprint(drainBatch)), template: "uniform", work: drain(bulk)},
		{title: "A drain with the default settings", template: "uniform", work: drain(cluster)},
		{title: "Appends in batches of 1,000", template: "opened", work: func(url string) (int, float64, error) {
			t, err := cluster(l.b, url).Append(l.ctx, l.uniform().Activity(), nil)
			return t.Events, t.Rate(), err
		}},
		{title: fmt.Sprintf("Single appends by %d goroutines", singles), template: "opened", work: func(url string) (int, float64, error) {
			rate, err := appendSingles(l.ctx, l.b, url, l.single)
			return int(rate * l.single.Seconds()), rate, err
		}},
		{title: "1,000 events a second on three replicas", template: "opened", work: func(url string) (int, float64, error) {
			f, err := l.flowOn(url, l.flow)
			return f.Events, f.Rate(), err
		}},
		{title: "A drain on SQLite", prepare: func(url string) error { return fillSQLite(l.ctx, l.b, url, l.uniform()) }, work: drain(cluster)},
	} {
		p, err := l.look(w)
		if l.ctx.Err() != nil {
			return err
		}
		if err != nil { // a report without it is better than none after half an hour
			fmt.Printf("this could not be looked at, and has no profile: %s: %v\n", w.title, err)
			continue
		}
		l.profiled = append(l.profiled, p)
	}
	return nil
}

// look does a piece of work on a database of its own.
func (l *lab) look(w looked) (p profile, err error) {
	fmt.Printf("%s  looking at: %s\n", time.Now().Format(time.TimeOnly), w.title)
	if w.template == "" {
		url := dbtest.SQLite(l.b)
		if err := w.prepare(url); err != nil {
			return p, err
		}
		return l.profileOf(w, url)
	}
	_, err = l.copyOf(w.template, func(url string) (float64, error) {
		if err := execute(l.ctx, url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "SELECT pg_stat_statements_reset()"); err != nil {
			return 0, err
		}
		var err error
		if p, err = l.profileOf(w, url); err != nil {
			return 0, err
		}
		p.statements, err = statementCosts(l.ctx, url)
		return p.rate, err
	})()
	return p, err
}

func (l *lab) profileOf(w looked, url string) (p profile, err error) {
	file := filepath.Join(l.b.TempDir(), "pprof")
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
	var blind error
	if w.template != "" {
		looking.Go(func() { p.waits, blind = waits(ctx, url) })
	}
	events, rate, err := w.work(url)
	stop()
	looking.Wait()
	p.title, p.rate, p.engine = w.title, rate, (ownProcessorTime()-before).Seconds()*1e6/float64(events)
	pprof.StopCPUProfile()
	if err = errors.Join(err, blind); err != nil {
		return p, err
	}
	top, err := output(exec.CommandContext(l.ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=60", "-focus", "safebox", file))
	p.functions = tidy(top)
	return p, err
}

// ofInterest are the functions of this project, and what it calls to reach a database.
var ofInterest = regexp.MustCompile(`^github\.com/(safebox/safebox|jackc/pgx/v5|ncruces/go-sqlite3)(/|\.)`)

// shownFunctions is how many functions a profile names.
const shownFunctions = 24

// tidy keeps the lines of pprof's table that name functions of interest, and the columns that count.
func tidy(top string) string {
	var kept strings.Builder
	n := 0
	for line := range strings.Lines(top) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !ofInterest.MatchString(fields[5]) || strings.Contains(fields[5], "/bench") {
			continue
		}
		if n++; n > shownFunctions {
			break
		}
		fmt.Fprintf(&kept, "%7s %7s  %s\n", fields[4], fields[1], strings.TrimPrefix(strings.TrimPrefix(fields[5], "github.com/"), "safebox/safebox/"))
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

// waits looks at the sessions of the engine, until ctx ends, and counts what they were about.
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
			FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safebox/bench/%' AND state <> 'idle'`)
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

// profilesMarkdown is the document of the profiles.
func profilesMarkdown(began time.Time, profiles []profile) string {
	var m strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&m, format+"\n", args...) }
	line("# Where the time goes\n")
	line("Written by `make bench` on %s, on the machine of the [report](REPORT.md). Do not edit.", began.Format("2 January 2006, 15:04 MST"))
	line("`BENCH_ONLY='^profile$' make bench` writes it alone. Each is one more run of what the report measures, looked at while it ran,")
	line("which slows it down. What was tried where a target is missed: [TRIED.md](TRIED.md).")
	for _, p := range profiles {
		m.WriteString(p.markdown())
	}
	return m.String()
}

// markdown writes the profile as a section.
func (p profile) markdown() string {
	var m strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&m, format+"\n", args...) }
	line("\n## %s\n", p.title)
	if len(p.statements) == 0 {
		line("%s events/s; the engine, with the database inside it, used %s µs of a core for an event.\n", short(p.rate), short(p.engine))
	} else {
		line("%s events/s. The engine used %s µs of a core for an event; what else the cores did was the server's.\n", short(p.rate), short(p.engine))
		line("The sessions of the engine, each time that they were in a transaction when they were looked at:\n")
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
		line("")
	}
	line("The engine's functions, by pprof: the share of its processor time in each with what it calls, and without.\n")
	line("```text\n%s```", p.functions)
	return m.String()
}
