package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
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
	short         bool // part of make test
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
		all = append(all, scene{backend, name, backend == "sqlite" && name == killed.name, set})
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
		g := newGround(t, dbtest.Options{
			Dir: d, Log: filepath.Join(t.TempDir(), "server.log"), Settings: map[string]string{"max_wal_size": "64MB"},
		})
		g.proof = regexp.MustCompile("No space left on device|could not extend file")
		return &stage{g.setup, g}, []fault{fullDisk(d, func(r *rig) func() {
			g.prove(r)
			return g.revive
		})}
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
		g.fsync, g.proof = file, regexp.MustCompile("could not f(data)?sync file")
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
		return &stage{setup: newFile(d)}, []fault{fullDisk(d, func(*rig) func() { return func() {} })}
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
	if st.ground != nil {
		st.ground.countDeadlocks(&report)
	}
	res := result{
		Fault: s.name, Backend: s.backend, Seed: seed, Runs: r.runs, Events: report.Events, Lost: report.Count(Lost), Doubled: report.Count(Doubled),
		Disorder: report.Count(OutOfOrder), Longest: slices.Max(r.stalls),
	}
	res.Other = len(report.Violations) - res.Lost - res.Doubled - res.Disorder
	if len(report.Violations) > 0 {
		t.Errorf("%s on %s, seed %d:\n%s", s.name, s.backend, seed, report.Summary())
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

// TestTorture plays every scene where SAFEBOX_TEST_LONG is 1, with SAFEBOX_TORTURE_RUNS injections each, and else a short one.
// SAFEBOX_TEST_SEED repeats a run. -run 'Torture/postgresql/full' plays one scene, whose seed is the same as among all.
func TestTorture(t *testing.T) {
	seed := number(t, "SAFEBOX_TEST_SEED", rand.Uint64N(1_000_000_000))
	long := os.Getenv("SAFEBOX_TEST_LONG") == "1"
	runs := int(number(t, "SAFEBOX_TORTURE_RUNS", 2))
	t.Logf("SAFEBOX_TEST_SEED=%d repeats this", seed)
	var results []result
	for i, s := range scenes() {
		if !long && !s.short {
			continue
		}
		t.Run(s.backend+"/"+s.name, func(t *testing.T) {
			r := play(t, s, seed+uint64(i), runs)
			results = append(results, r)
			keep(t, r)
		})
	}
	if len(results) > 0 {
		fmt.Println(table(results))
	}
}

// keep adds a result as a line of JSON to the file that SAFEBOX_TORTURE_RESULTS names.
func keep(t *testing.T, r result) {
	t.Helper()
	file := os.Getenv("SAFEBOX_TORTURE_RESULTS")
	if file == "" {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheTableOfKeptResults prints the table of all results that SAFEBOX_TORTURE_RESULTS keeps, of however many runs.
func TestTheTableOfKeptResults(t *testing.T) {
	b := []byte(`{"Fault":"a","Backend":"b","Seed":1,"Runs":2,"Events":3}` + "\n" + `{"Fault":"a","Backend":"b","Seed":2,"Runs":1,"Longest":1500000000}` + "\n")
	want := "| a | b | 3 | 3 | 0 | 0 | 0 | 0 | 1.5 s |\n"
	if file := os.Getenv("SAFEBOX_TORTURE_RESULTS"); file != "" {
		var err error
		if b, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		want = "| all |"
	}
	var results []result
	for line := range strings.Lines(string(b)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	got := table(results)
	fmt.Println(got)
	if !strings.Contains(got, want) {
		t.Errorf("there is no line %q", want)
	}
}

// table is the results as Markdown, a line for each fault on each backend.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("| fault | backend | runs | events | lost | doubled | out of order | other | longest stall |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	var lines []result
	first, last := results[0].Seed, results[0].Seed
	sum := result{Fault: "all"}
	for _, r := range results {
		first, last = min(first, r.Seed), max(last, r.Seed)
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
	fmt.Fprintf(&b, "\nSeeds %d to %d.\n", first, last)
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
