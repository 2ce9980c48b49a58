package bench

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
)

const (
	replicas = 50
	outdated = "20260416_0003"
	roleEnv  = "SAFEBOX_BENCH_REPLICA" // whose replica this process is; unset: the benchmark itself
	urlEnv   = "SAFEBOX_BENCH_DATABASE"
)

// starters are what a replica does when it gets the word to go, until it is ready. They tell whether it led, and leave the
// database open, as a replica that goes on to its work does.
var starters = map[string]func(ctx context.Context, url string) (led bool, open io.Closer, err error){
	"safebox": startSafebox,
	"goose":   startGoose,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(replica(role, os.Getenv(urlEnv)))
	}
	dbtest.Main(m)
}

// told is what a replica says when it is ready, or has failed.
type told struct {
	Led   bool
	Ready time.Time
	Error string
}

// replica is the life of one process: it says that it is there, waits for the word to go, tells when it was ready, and lives
// on until its input ends.
func replica(role, url string) int {
	fmt.Println()
	input := bufio.NewReader(os.Stdin)
	if _, err := input.ReadByte(); err != nil {
		return 1
	}
	led, open, err := starters[role](context.Background(), url)
	t := told{Led: led, Ready: time.Now()}
	if err != nil {
		t.Error = err.Error()
	}
	if json.NewEncoder(os.Stdout).Encode(t) != nil || err != nil {
		return 1
	}
	if _, err := input.ReadByte(); err != io.EOF {
		return 1
	}
	if open.Close() != nil {
		return 1
	}
	return 0
}

func startSafebox(ctx context.Context, url string) (bool, io.Closer, error) {
	db, err := open(ctx, url)
	if err != nil {
		return false, nil, err
	}
	res, err := db.Initialise(ctx, lockOptions(db), func(ctx context.Context, conn *sql.DB) error {
		_, err := migrations.Prepare(ctx, conn, migrationOptions(db))
		return err
	})
	return res.Outcome == initlock.OutcomeLed, db, err
}

func open(ctx context.Context, url string) (storage.DB, error) {
	u, err := storage.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, storage.Options{URL: u, Role: "bench", Instance: fmt.Sprint(os.Getpid()), Logger: silent})
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func migrationOptions(db storage.DB) migrations.Options {
	return migrations.Options{Dialect: db.Dialect(), Logger: silent}
}

func lockOptions(db storage.DB) initlock.Options {
	return initlock.Options{
		Digest: migrations.Digest(db.Dialect(), migrations.Seed{}, nil), Revision: migrations.Latest(),
		OldestCompatible: migrations.OldestCompatible, Name: fmt.Sprint(os.Getpid()), Logger: silent,
	}
}

// BenchmarkFifty starts fifty replicas at once, ours and goose's by turns, on an empty database and on an outdated one.
func BenchmarkFifty(b *testing.B) {
	for _, state := range []string{"empty", "outdated"} {
		b.Run(state, func(b *testing.B) {
			samples := map[string][]sample{}
			for range b.N {
				for role := range starters {
					samples[role] = append(samples[role], startAll(b, role, state))
				}
			}
			for role, s := range samples {
				b.ReportMetric(median(s, func(s sample) float64 { return s.leader.Seconds() * 1000 }), role+"-leader-ms")
				b.ReportMetric(median(s, func(s sample) float64 { return s.behind.Seconds() * 1000 }), role+"-behind-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

type sample struct{ leader, behind time.Duration }

func median[T any](of []T, value func(T) float64) float64 {
	vs := make([]float64, len(of))
	for i, s := range of {
		vs[i] = value(s)
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

func startAll(b *testing.B, role, state string) sample {
	b.Helper()
	url := dbtest.PostgreSQL(b)
	if state == "outdated" {
		outdate(b, role, url)
	}
	var processes []*process
	for range replicas {
		processes = append(processes, start(b, role, url))
	}
	for _, p := range processes {
		p.there(b)
	}
	began := time.Now()
	for _, p := range processes {
		if _, err := p.stdin.Write([]byte("\n")); err != nil {
			b.Fatal(err)
		}
	}
	var all []told
	for _, p := range processes {
		all = append(all, p.ready(b))
	}
	result := judge(b, role, began, all)
	for _, p := range processes {
		p.end(b)
	}
	return result
}

func judge(b *testing.B, role string, began time.Time, all []told) sample {
	b.Helper()
	var leader, last time.Time
	leaders := 0
	for _, t := range all {
		if t.Error != "" {
			b.Fatalf("a replica of %s failed: %s", role, t.Error)
		}
		if t.Led {
			leaders++
			leader = t.Ready
		}
		if t.Ready.After(last) {
			last = t.Ready
		}
	}
	if leaders != 1 {
		b.Fatalf("%d replicas of %s led, instead of one", leaders, role)
	}
	return sample{leader.Sub(began), last.Sub(leader)}
}

// outdate brings the database to the last revision but one of its program.
func outdate(b *testing.B, role, url string) {
	b.Helper()
	if role == "goose" {
		if err := gooseUpTo(context.Background(), url, gooseOutdated); err != nil {
			b.Fatal(err)
		}
		return
	}
	db, err := open(context.Background(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	old := lockOptions(db)
	old.Digest, old.Revision, old.OldestCompatible = "outdated", outdated, outdated
	_, err = db.Initialise(context.Background(), old, func(ctx context.Context, conn *sql.DB) error {
		_, err := migrations.Upgrade(ctx, conn, migrationOptions(db), outdated)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func start(b *testing.B, role, url string) *process {
	b.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleEnv+"="+role, urlEnv+"="+url)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p.stdout = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *process) there(b *testing.B) {
	b.Helper()
	if _, err := p.stdout.ReadString('\n'); err != nil {
		b.Fatalf("a replica did not start: %v", err)
	}
}

func (p *process) ready(b *testing.B) (t told) {
	b.Helper()
	if err := json.NewDecoder(p.stdout).Decode(&t); err != nil {
		b.Fatalf("a replica told nothing: %v", err)
	}
	return t
}

func (p *process) end(b *testing.B) {
	b.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReady starts one replica on a ready database.
func BenchmarkReady(b *testing.B) {
	for _, role := range []string{"safebox", "goose"} {
		b.Run(role, func(b *testing.B) {
			url := dbtest.PostgreSQL(b)
			readyNow(b, role, url)
			var took []time.Duration
			for b.Loop() {
				t, led := readyNow(b, role, url)
				if led {
					b.Fatal("it led")
				}
				took = append(took, t)
			}
			b.ReportMetric(median(took, func(d time.Duration) float64 { return d.Seconds() * 1000 }), "ready-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// readyNow starts one replica in this process, and tells how long it took to be ready.
func readyNow(b *testing.B, role, url string) (took time.Duration, led bool) {
	b.Helper()
	began := time.Now()
	led, open, err := starters[role](b.Context(), url)
	took = time.Since(began)
	if err != nil {
		b.Fatal(err)
	}
	if err := open.Close(); err != nil {
		b.Fatal(err)
	}
	return took, led
}
