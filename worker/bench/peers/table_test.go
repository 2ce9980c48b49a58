package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
)

// The sizes of what is measured; the environment may make them smaller, for trying the benchmark itself.
const (
	wallets     = 10_000
	longBacklog = 5_000_000
	shortLog    = 5_000
	claimers    = 1_000 // wallets of the databases whose claims are measured
	paced       = 1_000 // single events a second
)

// sizes of a run.
type sizes struct {
	rounds             int
	events, ofPeers    int
	single, idleFor    time.Duration
	flow               time.Duration
	snapshot, draining time.Duration
	snapshotRuns       int // at most
	backlog            int
}

func sizesFromEnvironment(tb testing.TB) sizes {
	number := func(name string, otherwise int) int {
		n, err := strconv.Atoi(environment(name, strconv.Itoa(otherwise)))
		if err != nil || n < 1 {
			tb.Fatalf("%s: expected a whole number above 0", name)
		}
		return n
	}
	s := sizes{
		rounds: number("BENCH_ROUNDS", 3), events: number("BENCH_EVENTS", 200_000), ofPeers: number("BENCH_PEER_EVENTS", 32_000),
		single: 5 * time.Second, idleFor: 15 * time.Second, flow: 10 * time.Second, snapshot: time.Minute, draining: 20 * time.Second,
		snapshotRuns: 1, backlog: number("BENCH_BACKLOG", longBacklog),
	}
	if os.Getenv("BENCH_LONG") != "" {
		s.snapshot, s.snapshotRuns, s.draining = 10*time.Minute, 3, time.Hour
	}
	return s
}

// lab is where everything is measured.
type lab struct {
	sizes
	b        *testing.B
	ctx      context.Context //nolint:containedctx // of the whole benchmark
	only     *regexp.Regexp
	dbs      *templates
	program  string
	results  results
	profiled []profile
}

// results are the measured values by name, one a round.
type results map[string][]float64

// BenchmarkTable measures the promises on performance and prints them as a table.
func BenchmarkTable(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Hour)
	defer cancel()
	only, err := regexp.Compile(environment("BENCH_ONLY", "."))
	must(b, err)
	server := dbtest.Server(b, dbtest.Options{Fsync: true, Settings: map[string]string{"shared_preload_libraries": "pg_stat_statements"}})
	l := &lab{sizes: sizesFromEnvironment(b), b: b, ctx: ctx, only: only, dbs: &templates{server: server}, results: results{}}
	r := newReport(ctx, server.URL(""), l.sizes)
	l.program, err = build(ctx, b)
	must(b, err)
	began := time.Now()
	must(b, l.measure())
	r.finish(l.results, time.Since(began))
	fmt.Println()
	fmt.Print(r.table())
	if len(l.profiled) > 0 {
		must(b, os.WriteFile("PROFILES.md", []byte(profilesMarkdown(r.began, l.profiled)), 0o644)) //nolint:gosec // a document for everyone
		fmt.Println("\nwrote worker/bench/peers/PROFILES.md")
	}
	if os.Getenv("BENCH_ONLY") == "" {
		must(b, os.WriteFile("REPORT.md", []byte(r.markdown()), 0o644)) //nolint:gosec // a document for everyone
		must(b, os.WriteFile("drain.svg", []byte(r.svg()), 0o644))      //nolint:gosec // a picture for everyone
		fmt.Println("\nwrote worker/bench/peers/REPORT.md and drain.svg")
	}
	b.ReportMetric(0, "ns/op")
}

// party measures one value of a round.
type party struct {
	name string
	run  func() (float64, error)
}

// turns lets the parties measure by turns, and begins each round with another of them.
func (l *lab) turns(group string, parties ...party) error {
	if !l.only.MatchString(group) {
		return nil
	}
	for round := range l.rounds {
		for i := range parties {
			p := parties[(i+round)%len(parties)]
			v, err := p.run()
			if err != nil {
				return fmt.Errorf("%s, %s, round %d: %w", group, p.name, round+1, err)
			}
			l.record(group+"/"+p.name, v)
		}
	}
	return nil
}

// once measures what needs no rounds.
func (l *lab) once(group string, measure func() (map[string]float64, error)) error {
	if !l.only.MatchString(group) {
		return nil
	}
	values, err := measure()
	if err != nil {
		return fmt.Errorf("%s: %w", group, err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		l.record(group+"/"+name, values[name])
	}
	return nil
}

func (l *lab) record(name string, v float64) {
	l.results[name] = append(l.results[name], v)
	fmt.Printf("%s  %-48s %s\n", time.Now().Format(time.TimeOnly), name, short(v))
}

func (l *lab) measure() error {
	for _, group := range []func() error{l.templates, l.drains, l.profiles, l.replicas, l.appends, l.singles, l.flows, l.snapshots, l.starts, l.idles, l.backlogs, l.sqlites} {
		if err := group(); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) uniform() bench.Shape { return bench.Shape{Events: l.events, Wallets: wallets, Seed: 1} }

func (l *lab) zipf() bench.Shape {
	return bench.Shape{Events: l.events, Wallets: wallets, Seed: 1, Zipf: 1}
}

func (l *lab) hot() bench.Shape {
	return bench.Shape{Events: l.events, Wallets: wallets, Seed: 1, Hot: 0.5}
}

func (l *lab) small() bench.Shape { return bench.Shape{Events: l.ofPeers, Wallets: wallets, Seed: 1} }

// wanted tells whether one of the groups is measured.
func (l *lab) wanted(groups ...string) bool {
	return slices.ContainsFunc(groups, l.only.MatchString)
}

// template makes a template where one of the groups needs it.
func (l *lab) template(name string, fill func(url string) error, groups ...string) error {
	if !l.wanted(groups...) {
		return nil
	}
	fmt.Printf("%s  preparing the database %s\n", time.Now().Format(time.TimeOnly), name)
	return l.dbs.add(l.ctx, name, fill)
}

// templates makes the databases of which the measurements get copies.
func (l *lab) templates() error {
	fill := func(s bench.Shape) func(string) error { return filled(l.ctx, l.b, s) }
	for _, t := range []struct {
		name   string
		fill   func(string) error
		groups []string
	}{
		{"uniform", fill(l.uniform()), []string{"drain", "append", "profile", "replicas"}},
		{"zipf", fill(l.zipf()), []string{"drain"}},
		{"hot", fill(l.hot()), []string{"drain"}},
		{"small", fill(l.small()), []string{"drain"}},
		{"opened", func(url string) error { return cluster(l.b, url).Open(l.ctx, l.uniform(), nil) }, []string{"append", "single", "flow", "snapshot", "idle", "profile"}},
	} {
		if err := l.template(t.name, t.fill, t.groups...); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) copyOf(template string, work func(url string) (float64, error)) func() (float64, error) {
	return func() (v float64, err error) {
		ctx, cancel := context.WithTimeout(l.ctx, patience)
		defer cancel()
		err = l.dbs.with(ctx, template, func(url string) error {
			v, err = work(url)
			return err
		})
		return v, err
	}
}

// drain is the rate at which a cluster drains a shape, which the audit must find right.
func (l *lab) drain(c bench.Cluster, s bench.Shape) (float64, error) {
	t, err := c.Drain(l.ctx, s.Events, nil)
	if err != nil {
		return 0, err
	}
	_, err = c.Audit(l.ctx, s.Opened()+s.Events)
	return t.Rate(), err
}

func (l *lab) drains() error {
	drain := func(url string, s bench.Shape) (float64, error) { return l.drain(bulk(l.b, url), s) }
	engine := func(s bench.Shape) func(url string) (float64, error) {
		return func(url string) (float64, error) { return drain(url, s) }
	}
	parties := []party{
		{"safebox", l.copyOf("uniform", engine(l.uniform()))},
		{"default", l.copyOf("uniform", func(url string) (float64, error) { return l.drain(cluster(l.b, url), l.uniform()) })},
		{"zipf", l.copyOf("zipf", engine(l.zipf()))},
		{"hot", l.copyOf("hot", engine(l.hot()))},
		{"snapshot", l.copyOf("uniform", func(url string) (rate float64, err error) {
			err = cluster(l.b, url).Hold(l.ctx, func() error {
				rate, err = drain(url, l.uniform())
				return err
			})
			return rate, err
		})},
		{"one statement", l.copyOf("uniform", func(url string) (float64, error) {
			if _, err := drain(url, l.uniform()); err != nil { // it makes the rows that are written again
				return 0, err
			}
			took, err := setBased(l.ctx, url)
			return float64(l.events) / took.Seconds(), err
		})},
	}
	for _, p := range allPeers(l.b) {
		parties = append(parties, party{p.name, l.copyOf("small", func(url string) (float64, error) {
			took, err := drainBy(l.ctx, l.b, p, url, l.small())
			return float64(l.ofPeers) / took.Seconds(), err
		})})
	}
	return l.turns("drain", parties...)
}

// replicas drains by one, two and four replicas of one lane each: each adds throughput, until the machine is full.
func (l *lab) replicas() error {
	var parties []party
	for _, n := range []int{1, 2, 4} {
		parties = append(parties, party{fmt.Sprint(n), l.copyOf("uniform", func(url string) (float64, error) {
			c := bulk(l.b, url)
			c.Replicas, c.Lanes = n, 1
			return l.drain(c, l.uniform())
		})})
	}
	return l.turns("replicas", parties...)
}

func (l *lab) appends() error {
	if !l.wanted("append") {
		return nil
	}
	rows, err := copied(l.ctx, l.dbs.server.URL("uniform"))
	if err != nil {
		return err
	}
	return l.turns("append",
		party{"batches", l.copyOf("opened", func(url string) (float64, error) {
			t, err := cluster(l.b, url).Append(l.ctx, l.uniform().Activity(), nil)
			return t.Rate(), err
		})},
		party{"COPY", l.copyOf("opened", func(url string) (float64, error) {
			took, n, err := copyIn(l.ctx, url, rows)
			if err == nil && n != l.events {
				err = fmt.Errorf("COPY wrote %d rows instead of %d", n, l.events)
			}
			return float64(n) / took.Seconds(), err
		})},
	)
}

func (l *lab) singles() error {
	return l.turns("single",
		party{"goroutines", l.copyOf("opened", func(url string) (float64, error) { return appendSingles(l.ctx, l.b, url, l.single) })},
		party{"HTTP", l.copyOf("opened", func(url string) (float64, error) { return postSingles(l.ctx, l.b, url, l.single) })},
		party{"pgbench", l.copyOf("opened", func(url string) (float64, error) {
			return insertsByPgbench(l.ctx, l.b, url, int(l.single.Seconds()))
		})},
	)
}

// flowOn appends single events at a pace to three replicas.
func (l *lab) flowOn(url string, during time.Duration) (bench.Flow, error) {
	c := cluster(l.b, url)
	c.Replicas = 3
	s := bench.Shape{Events: int(during.Seconds() * paced), Wallets: wallets, Seed: 1}
	f, err := c.Flow(l.ctx, s.Activity(), s.Events, paced, nil)
	if err != nil {
		return f, err
	}
	_, err = c.Audit(l.ctx, s.Opened()+s.Events)
	return f, err
}

func (l *lab) flows() error {
	for range l.rounds {
		err := l.once("flow", func() (map[string]float64, error) {
			var f bench.Flow
			_, err := l.copyOf("opened", func(url string) (v float64, err error) {
				f, err = l.flowOn(url, l.flow)
				return v, err
			})()
			return map[string]float64{"p50": f.Lag.P50, "p99": f.Lag.P99}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tenthsOfFlow is into how many spans a run under a snapshot is divided: the first and the last are compared.
const tenthsOfFlow = 10

func tenth(n int) string { return fmt.Sprintf("tenth %02d", n) }

// snapshots is the flow under one held snapshot. A second's hiccup of the machine decides the p99 of a minute: hence several.
func (l *lab) snapshots() error {
	for range min(l.rounds, l.snapshotRuns) {
		err := l.once("snapshot", func() (map[string]float64, error) {
			var f bench.Flow
			_, err := l.copyOf("opened", func(url string) (v float64, err error) {
				err = cluster(l.b, url).Hold(l.ctx, func() error {
					f, err = l.flowOn(url, l.snapshot)
					return err
				})
				return v, err
			})()
			if err != nil || len(f.Windows) < tenthsOfFlow {
				return nil, errors.Join(err, fmt.Errorf("%d windows of %d", len(f.Windows), tenthsOfFlow))
			}
			p99 := map[string]float64{}
			for i, w := range f.Windows[:tenthsOfFlow] {
				p99[tenth(i+1)] = w.P99
			}
			return p99, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) starts() error {
	return l.once("start", func() (map[string]float64, error) {
		s, err := startFifty(l.ctx)
		return map[string]float64{"behind": s.behind, "ready": s.ready}, err
	})
}

func (l *lab) idles() error {
	return l.once("idle", func() (map[string]float64, error) {
		var c idleCost
		_, err := l.copyOf("opened", func(url string) (v float64, err error) {
			c, err = idle(l.ctx, l.program, url, l.idleFor)
			return v, err
		})()
		return map[string]float64{"statements": c.statements, "core": 100 * c.core}, err
	})
}

func (l *lab) backlogs() error {
	return l.once("claim", func() (map[string]float64, error) {
		names := [2]string{"backlog_long", "backlog_short"}
		var urls [2]string
		for i, n := range []int{l.backlog, shortLog} {
			err := l.template(names[i], func(url string) error {
				if err := cluster(l.b, url).Open(l.ctx, bench.Shape{Events: 1, Wallets: claimers}, nil); err != nil {
					return err
				}
				return backlog(l.ctx, url, n, claimers)
			}, "claim")
			if err != nil {
				return nil, err
			}
			urls[i] = l.dbs.server.URL(names[i])
		}
		micros, err := claims(l.ctx, l.b, urls, 2000)
		if err != nil {
			return nil, err
		}
		d, err := drainLong(l.ctx, l.program, urls[0], l.draining)
		return map[string]float64{
			"long": micros[0], "short": micros[1], "megabytes": d.megabytes, "drained": float64(d.events), "rate": d.rate, "growth": d.growth,
		}, err
	})
}

func (l *lab) sqlites() error {
	for range l.rounds {
		err := l.once("sqlite", func() (map[string]float64, error) {
			m, err := measureSQLite(l.ctx, l.b, l.uniform())
			return map[string]float64{"safebox": m.engine.Rate(), "by hand": m.hand.Rate(), "set-based": m.setBased.Rate()}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(of), cmp.Compare[float64])
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
