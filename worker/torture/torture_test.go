package torture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// scene is one line of the table: a fault on a backend.
type scene struct {
	backend, name string
	set           func(t *testing.T) (*stage, []fault)
}

// stage is where a scene plays.
type stage struct {
	setup  setup
	ground *ground // nil on SQLite
}

// scenes are those of the whole suite.
func scenes() []scene {
	var all []scene
	add := func(backend, name string, set func(t *testing.T) (*stage, []fault)) {
		all = append(all, scene{backend, name, set})
	}
	plain := func(o dbtest.Options, pick func(g *ground) []fault) func(t *testing.T) (*stage, []fault) {
		return func(t *testing.T) (*stage, []fault) {
			g := newGround(t, o)
			faults := pick(g)
			return &stage{g.setup, g}, faults
		}
	}
	for i, f := range (&ground{}).plainFaults() {
		add("postgresql", f.name, plain(dbtest.Options{}, func(g *ground) []fault { return g.plainFaults()[i : i+1] }))
	}
	for i, f := range (&ground{}).networkFaults() {
		add("postgresql", f.name, plain(dbtest.Options{}, func(g *ground) []fault {
			g.throughProxy()
			return g.networkFaults()[i : i+1]
		}))
	}
	add("postgresql", "PgBouncer restarted", plain(dbtest.Options{}, func(g *ground) []fault {
		g.throughPooler()
		return []fault{g.poolerFault()}
	}))
	add("postgresql", "full disk", func(t *testing.T) (*stage, []fault) {
		d := disk(t, megabytes(400))
		g := newGround(t, dbtest.Options{Dir: d, Settings: map[string]string{"max_wal_size": "64MB"}})
		return &stage{g.setup, g}, []fault{fullDisk(d, g.revive)}
	})
	add("postgresql", "the database's clock set back and forth", func(t *testing.T) (*stage, []fault) {
		o, file := otherClock(t)
		g := newGround(t, o)
		g.clock = file
		return &stage{g.setup, g}, []fault{g.clockFault()}
	})
	add("postgresql", "fsync fails", func(t *testing.T) (*stage, []fault) {
		o, file := failingFsync(t)
		g := newGround(t, o)
		g.fsync = file
		return &stage{g.setup, g}, []fault{g.fsyncFault()}
	})
	add("postgresql", mixed, plain(dbtest.Options{}, func(g *ground) []fault {
		g.throughProxy()
		return append(g.plainFaults(), g.networkFaults()...)
	}))
	inFolder := func(faults func() []fault) func(t *testing.T) (*stage, []fault) {
		return func(t *testing.T) (*stage, []fault) { return &stage{setup: newFile(t.TempDir())}, faults() }
	}
	for i, f := range sqliteFaults() {
		add("sqlite", f.name, inFolder(func() []fault { return sqliteFaults()[i : i+1] }))
	}
	add("sqlite", "full disk", func(t *testing.T) (*stage, []fault) {
		d := disk(t, megabytes(64))
		return &stage{setup: newFile(d)}, []fault{fullDisk(d, func() {})}
	})
	add("sqlite", readOnly.name, func(t *testing.T) (*stage, []fault) {
		s := newFile(t.TempDir())
		s.owner = nobody(t)
		if err := openTo(filepath.Dir(s.file()), s.owner); err != nil {
			t.Fatal(err)
		}
		return &stage{setup: s}, []fault{readOnly}
	})
	add("sqlite", mixed, inFolder(sqliteFaults))
	return all
}

const mixed = "two of these at once"

// result is what became of a scene.
type result struct {
	Fault, Backend                               string
	Seed                                         uint64
	Runs, Events, Lost, Doubled, Disorder, Other int
	Longest                                      time.Duration
}

// play plays a scene until it has struck so many times, and judges.
func play(t *testing.T, s scene, seed uint64, runs int) result {
	t.Helper()
	st, faults := s.set(t)
	r := newRig(t, seed, st.setup)
	r.await("the clients are at work", func() bool {
		p, err := r.positions()
		_, cursors := p.sum()
		return err == nil && cursors > 50
	})
	for range runs {
		if s.name == mixed {
			a := r.rng.IntN(len(faults))
			r.injectTwo(faults[a], faults[(a+1+r.rng.IntN(len(faults)-1))%len(faults)])
		} else {
			r.inject(faults[0])
		}
	}
	report := r.stop()
	res := result{
		Fault: s.name, Backend: s.backend, Seed: seed, Runs: r.runs, Events: report.Events, Lost: report.Count(Lost), Doubled: report.Count(Doubled),
		Disorder: report.Count(OutOfOrder), Longest: slices.Max(r.stalls),
	}
	res.Other = len(report.Violations) - res.Lost - res.Doubled - res.Disorder
	if len(report.Violations) > 0 {
		t.Errorf("%s on %s, seed %d:\n%s", s.name, s.backend, seed, report.Summary())
	}
	if st.ground != nil {
		if n := st.ground.deadlocks(); n > 0 {
			t.Errorf("the server broke up %d deadlocks", n)
		}
	}
	r.audit()
	r.drain()
	t.Logf("%d events, %d acknowledged, answers %v, outcomes %v, %d reads, stalls %v", report.Events, report.Acknowledged, report.Answers,
		report.Outcomes, report.Reads, r.stalls)
	return res
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestTorture plays every scene where SAFEBOX_TEST_LONG is 1, SAFEBOX_TORTURE_RUNS injections each, and else a few of them once,
// on each backend. SAFEBOX_TEST_SEED repeats a run. -run 'Torture/postgresql/full' plays one scene.
func TestTorture(t *testing.T) {
	seed := number(t, "SAFEBOX_TEST_SEED", rand.Uint64N(1_000_000_000))
	long := os.Getenv("SAFEBOX_TEST_LONG") == "1"
	runs := int(number(t, "SAFEBOX_TORTURE_RUNS", 8))
	t.Logf("SAFEBOX_TEST_SEED=%d repeats this", seed)
	var results []result
	for i, s := range scenes() {
		t.Run(s.backend+"/"+s.name, func(t *testing.T) {
			if !long {
				return
			}
			results = append(results, play(t, s, seed+uint64(i), runs))
		})
	}
	tell(t, results)
}

// tell prints the table, and adds its lines to the file that SAFEBOX_TORTURE_RESULTS names, whose table it then is.
func tell(t *testing.T, results []result) {
	t.Helper()
	if file := os.Getenv("SAFEBOX_TORTURE_RESULTS"); file != "" {
		results = collect(t, file, results)
	}
	if len(results) > 0 {
		fmt.Println(table(results))
	}
}

func collect(t *testing.T, file string, results []result) []result {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b = append(append(b, line...), '\n')
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var all []result
	for line := range strings.Lines(string(b)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// table is the results as Markdown, a line for each fault on each backend.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("| fault | backend | runs | events | lost | doubled | out of order | other | longest stall |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	var lines []result
	seeds := map[uint64]bool{}
	sum := result{Fault: "all"}
	for _, r := range results {
		seeds[r.Seed] = true
		i := slices.IndexFunc(lines, func(l result) bool { return l.Fault == r.Fault && l.Backend == r.Backend })
		if i < 0 {
			i = len(lines)
			lines = append(lines, result{Fault: r.Fault, Backend: r.Backend})
		}
		lines[i].add(r)
		sum.add(r)
	}
	for _, r := range append(lines, sum) {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %d | %.1f s |\n", r.Fault, r.Backend, r.Runs, r.Events, r.Lost, r.Doubled, r.Disorder,
			r.Other, r.Longest.Seconds())
	}
	fmt.Fprintf(&b, "\nSeeds: %d.\n", len(seeds))
	return b.String()
}

func (r *result) add(o result) {
	r.Runs += o.Runs
	r.Events += o.Events
	r.Lost += o.Lost
	r.Doubled += o.Doubled
	r.Disorder += o.Disorder
	r.Other += o.Other
	r.Longest = max(r.Longest, o.Longest)
}
