package peers

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A promise is a row of the table: what was measured, against what, and what it must reach.
type promise struct {
	what   string
	ours   string // names of results
	theirs string // "": the value itself is judged, in the unit
	unit   string
	// must is the floor and aim the target, of the ratio or of the value; 0: there is none.
	must, aim float64
	less      bool // less is better
}

// promises are the rows of the table, in its order.
func promises() []promise {
	drain, preset := "drain of mixed events, against ", "drain with the default settings, against "
	return []promise{
		{what: drain + "River completing in the transaction", ours: "drain/safebox", theirs: "drain/" + riverInTx.name, unit: "events/s", must: 25, aim: 50},
		{what: drain + "watermill-sql", ours: "drain/safebox", theirs: "drain/" + watermillSQL.name, unit: "events/s", must: 12, aim: 25},
		{what: drain + "the same rows by one set-based statement", ours: "drain/safebox", theirs: "drain/one statement", unit: "events/s", must: 0.35, aim: 0.7},
		{what: drain + "River", ours: "drain/safebox", theirs: "drain/" + riverPlain.name, unit: "events/s"},
		{what: drain + "Graphile Worker", ours: "drain/safebox", theirs: "drain/Graphile Worker", unit: "events/s"},
		{what: drain + "pgbench, a transaction an event", ours: "drain/safebox", theirs: "drain/pgbench, a transaction an event", unit: "events/s"},
		{what: preset + "River completing in the transaction", ours: "drain/default", theirs: "drain/" + riverInTx.name, unit: "events/s", must: 25, aim: 50},
		{what: preset + "watermill-sql", ours: "drain/default", theirs: "drain/" + watermillSQL.name, unit: "events/s", must: 12, aim: 25},
		{what: preset + "the same rows by one set-based statement", ours: "drain/default", theirs: "drain/one statement", unit: "events/s", must: 0.35, aim: 0.7},
		{what: "drain with Zipf-distributed wallets, against uniform", ours: "drain/zipf", theirs: "drain/safebox", unit: "events/s", must: 0.7, aim: 0.9},
		{what: "drain with half the events on one wallet, against uniform", ours: "drain/hot", theirs: "drain/safebox", unit: "events/s", must: 0.5, aim: 0.8},
		{what: "drain under a held snapshot, against none", ours: "drain/snapshot", theirs: "drain/safebox", unit: "events/s", must: 0.6, aim: 0.9},
		{what: "drain by 2 replicas of one lane each, against 1", ours: "replicas/2", theirs: "replicas/1", unit: "events/s"},
		{what: "drain by 4 replicas of one lane each, against 1", ours: "replicas/4", theirs: "replicas/1", unit: "events/s"},
		{what: "append in batches of 1,000, against COPY", ours: "append/batches", theirs: "append/COPY", unit: "events/s", must: 0.5, aim: 0.8},
		{what: "append of single events by 64 goroutines, against inserts by pgbench", ours: "single/goroutines", theirs: "single/pgbench", unit: "events/s", must: 1.5, aim: 3},
		{what: "append of single events over HTTP, 64 connections, against the same", ours: "single/HTTP", theirs: "single/pgbench", unit: "events/s", must: 0.4, aim: 0.8},
		{what: "append to commit at 1,000 events a second, 3 replicas, p50", ours: "flow/p50", unit: "ms", must: 10, aim: 4, less: true},
		{what: "the same, p99", ours: "flow/p99", unit: "ms", must: 40, aim: 15, less: true},
		{what: "50 replicas on an empty database: the last behind the leader", ours: "start/behind", unit: "ms", must: 400, aim: 100, less: true},
		{what: "a replica on a ready database, until ready", ours: "start/ready", unit: "ms", must: 100, aim: 40, less: true},
		{what: "three idle replicas, statements a second of each", ours: "idle/statements", unit: "statements/s", must: 10, aim: 3, less: true},
		{what: "three idle replicas, processor of each", ours: "idle/core", unit: "% of a core", must: 1, aim: 0.3, less: true},
		{what: "claim with a long backlog, against a short one", ours: "claim/long", theirs: "claim/short", unit: "µs", must: 1.5, aim: 1.1, less: true},
		{what: "lag p99 under a held snapshot, last tenth against the first", ours: "snapshot/" + tenth(tenthsOfFlow), theirs: "snapshot/" + tenth(1), unit: "ms", must: 2, aim: 1.2, less: true},
		{what: "drain on SQLite, against the same SQL by hand", ours: "sqlite/safebox", theirs: "sqlite/by hand", unit: "events/s", must: 0.5, aim: 0.8},
		{what: "drain on SQLite, against the same rows by a statement a table", ours: "sqlite/safebox", theirs: "sqlite/set-based", unit: "events/s"},
		{what: "memory of a worker that drains the long backlog", ours: "claim/megabytes", unit: "MB", must: 128, less: true},
		{what: "growth of the tables that are not append-only, meanwhile", ours: "claim/growth", unit: "bytes/event"},
	}
}

// spread is the median of values and how far they lie.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	return spread{median(values), slices.Min(values), slices.Max(values)}
}

func (s spread) String() string {
	if s.least == s.most {
		return short(s.median)
	}
	return fmt.Sprintf("%s (%s to %s)", short(s.median), short(s.least), short(s.most))
}

// short writes a number with three digits that count, and whole ones with commas.
func short(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 100:
		return grouped(fmt.Sprintf("%.0f", v))
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	case abs >= 0.1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

var threeDigits = regexp.MustCompile(`(\d)(\d{3})(,|$)`)

func grouped(digits string) string {
	for threeDigits.MatchString(digits) {
		digits = threeDigits.ReplaceAllString(digits, "$1,$2$3")
	}
	return digits
}

// judged is a row of the table, measured.
type judged struct {
	promise
	measured spread
	base     spread
	ratio    spread // of each round's values; of the values themselves where nothing stands against them
}

// judge makes the rows of what was measured.
func judge(r results) (rows []judged) {
	for _, p := range promises() {
		ours, theirs := r[p.ours], r[p.theirs]
		if len(ours) == 0 || p.theirs != "" && len(theirs) != len(ours) {
			continue
		}
		j := judged{promise: p, measured: spreadOf(ours), ratio: spreadOf(ours)}
		if p.theirs != "" {
			ratios := make([]float64, len(ours))
			for i := range ours {
				ratios[i] = ours[i] / theirs[i]
			}
			j.base, j.ratio = spreadOf(theirs), spreadOf(ratios)
		}
		rows = append(rows, j)
	}
	return rows
}

// verdict is what the median reaches.
func (j judged) verdict() string {
	reaches := func(bound float64) bool {
		if j.less {
			return j.ratio.median <= bound
		}
		return j.ratio.median >= bound
	}
	switch {
	case j.must == 0:
		return ""
	case !reaches(j.must):
		return "MISSED"
	case j.aim != 0 && reaches(j.aim):
		return "aim"
	default:
		return "must"
	}
}

func (j judged) cells() []string {
	against, ratio := "", ""
	if j.theirs != "" {
		against, ratio = j.base.String(), short(j.ratio.median)+" ×"
		if j.ratio.least != j.ratio.most {
			ratio += fmt.Sprintf(" (%s to %s)", short(j.ratio.least), short(j.ratio.most))
		}
	}
	return []string{j.what, j.measured.String() + " " + j.unit, against, ratio, j.bound(j.must), j.bound(j.aim), j.verdict()}
}

func (j judged) bound(v float64) string {
	if v == 0 {
		return ""
	}
	text := fmt.Sprintf("%g", v)
	if j.theirs != "" {
		text += " ×"
	}
	if j.less {
		return "≤ " + text
	}
	return "≥ " + text
}

var headings = []string{"what", "measured", "against", "ratio", "must", "aim", "verdict"}

// report is what the benchmark tells of itself.
type report struct {
	sizes    sizes
	began    time.Time
	took     time.Duration
	load     [2]string // of the machine, before and after
	versions map[string]string
	results  results
}

func newReport(ctx context.Context, url string, s sizes) *report {
	v, err := versions(ctx, url)
	if err != nil {
		v = map[string]string{"versions": "unknown: " + err.Error()}
	}
	return &report{sizes: s, began: time.Now().UTC(), versions: v, load: [2]string{loadAverage(), ""}}
}

func (r *report) finish(values results, took time.Duration) {
	r.results, r.took, r.load[1] = values, took, loadAverage()
}

// table is the table for a terminal.
func (r *report) table() string {
	rows := [][]string{headings}
	for _, j := range judge(r.results) {
		rows = append(rows, j.cells())
	}
	width := make([]int, len(headings))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var t strings.Builder
	for _, row := range rows {
		line := ""
		for i, c := range row {
			line += c + strings.Repeat(" ", width[i]-len([]rune(c))+2)
		}
		t.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return t.String()
}

// markdown is the report.
func (r *report) markdown() string {
	var m strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&m, format+"\n", args...) }
	p("# What the event engine does, beside others and beside the limits\n")
	p("Written by `make bench` on %s; it took %s. Do not edit.\n", r.began.Format("2 January 2006, 15:04 MST"), r.took.Round(time.Second))
	p("![events drained a second](drain.svg)\n")
	p("| %s |", strings.Join(headings, " | "))
	p("|%s", strings.Repeat(" --- |", len(headings)))
	for _, j := range judge(r.results) {
		p("| %s |", strings.Join(j.cells(), " | "))
	}
	p("\nEach figure is the median of %s, with the least and the most where there was more than one; a ratio is that of the values of",
		plural(r.sizes.rounds, "round"))
	p("one round. Rows of idle replicas and of a long backlog are measured once, that of the minutes under a snapshot at most %d", r.sizes.snapshotRuns)
	p("times; those of a start are the medians of five starts. After each drain, by whoever, the audit was asked and was clean.\n")
	p("## What was measured\n")
	p("- The workload: %s mixed events on %s wallets; %s of the same for the peers, whose rate needs no more.",
		grouped(fmt.Sprint(r.sizes.events)), grouped(fmt.Sprint(wallets)), grouped(fmt.Sprint(r.sizes.ofPeers)))
	p("- The engine: one replica with the default settings, which are 4 lanes and batches of up to 500 (SQLite: 1 lane). Where")
	p("  PostgreSQL's drains do not say that they have them, nor are of the long backlog, SAFEBOX_BATCH is %d. Where replicas are", drainBatch)
	p("  compared, each has one lane.")
	p("- River: %d workers on %d connections, fetching every %s. Plain, it completes jobs in batches after they have run, so that a", riverWorkers, riverPool, riverFetch)
	p("  crash repeats events; and it keeps no order within a wallet, which the engine and watermill-sql do.")
	p("- watermill-sql: one subscriber, since more do not help a consumer group; batches of %d in one transaction.", watermillBatch)
	p("- Graphile Worker: 16 jobs at once, a local queue of 500, completion in batches; it repeats and reorders as River does.")
	p("- pgbench: %d clients, one prepared statement and one commit an event, no queue at all.", handClients)
	p("- The peers apply an event by one call of [apply.sql](apply.sql), a function on the server: one round trip each.")
	p("- The long backlog: %s events; the short one: %s.", grouped(fmt.Sprint(r.sizes.backlog)), grouped(fmt.Sprint(shortLog)))
	p("- Lag under a snapshot: %s without the first 2 s, in tenths. The p99 of each in ms, medians of the runs: %s.", r.sizes.snapshot, r.results.tenths())
	p("- Single appends go through one process, as a replica takes them; over HTTP the client is on the same machine.\n")
	p("## Where\n")
	p("- %s, %d of its cores, %s, %s", processor(), runtime.NumCPU(), memory(), kernel())
	p("- PostgreSQL on the same machine, with fsync and synchronous_commit on, 128 MB of shared buffers")
	p("- Load average before: %s; after: %s. A busy machine makes ratios vary: look at the spread.", r.load[0], r.load[1])
	for _, name := range slices.Sorted(maps.Keys(r.versions)) {
		p("- %s %s", name, r.versions[name])
	}
	p("\nWhere the time goes, and what was tried where a target is missed: [PROFILES.md](PROFILES.md) and [TRIED.md](TRIED.md).\n")
	p("## Again\n")
	p("```console\n$ make bench BENCH_ROUNDS=%d\n```", r.sizes.rounds)
	return m.String()
}

// tenths lists the p99 of the lag under a snapshot, tenth by tenth.
func (r results) tenths() string {
	var medians []string
	for n := range tenthsOfFlow {
		if values := r["snapshot/"+tenth(n+1)]; len(values) > 0 {
			medians = append(medians, short(median(values)))
		}
	}
	return strings.Join(medians, ", ")
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func loadAverage() string { return strings.Join(firstFields("/proc/loadavg", 3), " ") }

func firstFields(file string, n int) []string {
	b, err := os.ReadFile(file)
	if f := strings.Fields(string(b)); err == nil && len(f) >= n {
		return f[:n]
	}
	return []string{"unknown"}
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`model name\s*:\s*(.+)`).FindSubmatch(b); err == nil && found != nil {
		return strings.TrimSpace(string(found[1]))
	}
	return runtime.GOARCH
}

func memory() string {
	b, err := os.ReadFile("/proc/meminfo")
	if found := regexp.MustCompile(`MemTotal:\s+(\d+) kB`).FindSubmatch(b); err == nil && found != nil {
		var kb float64
		fmt.Sscan(string(found[1]), &kb) //nolint:errcheck // it is digits
		return fmt.Sprintf("%.0f GiB of memory", kb/(1<<20))
	}
	return "unknown memory"
}

func kernel() string {
	return "Linux " + strings.Join(firstFields("/proc/sys/kernel/osrelease", 1), "")
}

// svg is a picture of the drain: a bar for each party, as long as its events a second.
func (r *report) svg() string {
	type bar struct {
		name  string
		rate  float64
		class string
	}
	var bars []bar
	for _, b := range []struct{ result, name, class string }{
		{"drain/one statement", "the same rows by one statement", "limit"},
		{"drain/safebox", "Safebox, batches of " + grouped(fmt.Sprint(drainBatch)), "ours"},
		{"drain/default", "Safebox, default batches", "ours"},
		{"drain/pgbench, a transaction an event", "pgbench, a transaction an event", "peer"},
		{"drain/" + watermillSQL.name, watermillSQL.name, "peer"},
		{"drain/" + riverPlain.name, "River (at least once)", "peer"},
		{"drain/Graphile Worker", "Graphile Worker (at least once)", "peer"},
		{"drain/" + riverInTx.name, "River, exactly once", "peer"},
	} {
		if v := r.results[b.result]; len(v) > 0 {
			bars = append(bars, bar{b.name, median(v), b.class})
		}
	}
	slices.SortStableFunc(bars, func(a, b bar) int { return int(b.rate - a.rate) })
	const left, wide, high, top = 264.0, 380.0, 34, 84
	height := top + high*len(bars) + 40
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 %d" width="800" height="%d" role="img" aria-labelledby="t">
<title id="t">Wallet events drained a second on PostgreSQL</title>
<style>
text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.head { font-weight: 600; font-size: 18px; }
.note { font-size: 12px; fill: #59636e; }
.name { text-anchor: end; }
.bold { font-weight: 600; }
.card { fill: #ffffff; stroke: #d1d9e0; } .axis { stroke: #d1d9e0; }
.ours { fill: #0a7d4f; } .peer { fill: #8c959f; } .limit { fill: #c9d1d9; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .note { fill: #9198a1; }
.card { fill: #0d1117; stroke: #3d444d; } .axis { stroke: #3d444d; }
.ours { fill: #2fbf71; } .peer { fill: #6e7681; } .limit { fill: #3d444d; }
}
</style>
<rect class="card" x="0.5" y="0.5" width="799" height="%d" rx="8"/>
<text class="head" x="24" y="34">Wallet events drained a second on PostgreSQL</text>
<text class="note" x="24" y="56">Longer is better. The palest bar is the limit: the same rows, written by hand in one statement.</text>
`, height, height, height-1)
	longest := 1.0
	for _, b := range bars {
		longest = max(longest, b.rate)
	}
	for i, b := range bars {
		y, weight := top+high*i, ""
		if b.class == "ours" {
			weight = " bold"
		}
		length := max(2, b.rate/longest*wide)
		fmt.Fprintf(&s, `<text class="name%s" x="%.0f" y="%d">%s</text><rect class="%s" x="%.0f" y="%d" width="%.1f" height="22" rx="3"/><text class="%s" x="%.1f" y="%d">%s</text>`+"\n",
			weight, left-12, y+16, b.name, b.class, left, y, length, strings.TrimSpace("value"+weight), left+length+8, y+16, short(b.rate))
	}
	fmt.Fprintf(&s, `<line class="axis" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>
<text class="note" x="24" y="%d">Median of %s; fsync on; %d cores shared with the database; %s</text>`+"\n</svg>\n",
		left-0.5, top-8, left-0.5, top+high*len(bars)-4, height-16, plural(r.sizes.rounds, "round"), runtime.NumCPU(), r.began.Format("January 2006"))
	return s.String()
}

func TestAVerdictFollowsFromTheMedianOfTheRatios(t *testing.T) {
	for _, c := range []struct {
		ours, theirs float64
		want         string
	}{{49, 1, "must"}, {50, 1, "aim"}, {24.9, 1, "MISSED"}} {
		rows := judge(results{"drain/safebox": {c.ours, c.ours * 2, c.ours / 2}, "drain/" + riverInTx.name: {c.theirs, c.theirs * 2, c.theirs / 2}})
		if len(rows) != 1 || rows[0].verdict() != c.want {
			t.Errorf("%v against %v: %+v, want %s", c.ours, c.theirs, rows, c.want)
		}
	}
	for v, want := range map[float64]string{4: "aim", 5: "must", 10.1: "MISSED"} {
		rows := judge(results{"flow/p50": {v}})
		if len(rows) != 1 || rows[0].verdict() != want {
			t.Errorf("a lag of %v ms: %+v, want %s", v, rows, want)
		}
	}
}

func TestTheReportShowsEachFigureThatWasMeasured(t *testing.T) {
	r := report{sizes: sizes{rounds: 2}, results: results{
		"drain/safebox": {61234, 63000}, "drain/" + riverInTx.name: {1800, 1900}, "flow/p50": {3.21},
	}}
	for _, want := range []string{"62,117 (61,234 to 63,000) events/s", "33.6 × (33.2 to 34.0)", "≥ 25 ×", "3.21 ms", "≤ 10"} {
		if !strings.Contains(r.markdown(), want) || !strings.Contains(r.table(), want) {
			t.Errorf("%q is missing in\n%s\n%s", want, r.markdown(), r.table())
		}
	}
	if strings.Contains(r.markdown(), "SQLite, against") {
		t.Error("a row that was not measured is in the report")
	}
	if svg := r.svg(); !strings.Contains(svg, "62,117") || !strings.Contains(svg, "River, exactly once") {
		t.Errorf("the picture lacks a bar:\n%s", svg)
	}
}

func TestAProfileShowsWhatWasSeen(t *testing.T) {
	got := profilesMarkdown(time.Now(), []profile{
		{title: "A drain", rate: 1234, waits: []share{{"waits for a lock", 0.25}}, statements: []statementCost{{query: "SELECT a | b", calls: 1234, share: 0.5}}},
		{title: "On a file", rate: 56, functions: tidy("1s 5% 5% 2s 10%  github.com/safebox/safebox/worker/bus.(*run).one\n0 0% 5% 2s 9%  runtime.main\n")},
	})
	for _, want := range []string{"## A drain\n\n1,234 events/s", "| 25.0 % | waits for a lock |", "| 50.0 % | 1,234 |", "`SELECT a \\| b`", "## On a file", "    10%      5%  worker/bus.(*run).one\n```"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "runtime.main") {
		t.Error("a function of no interest is named")
	}
}
