package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// longestStall is what is promised: after a fault ends, events are applied again within this.
const longestStall = 10 * time.Second

// limit is the longest that anything may take that a run waits for.
const limit = 60 * time.Second

// setup says what a rig runs on.
type setup struct {
	backend  string // postgresql or sqlite
	program  string // "": the program as it is
	url      string // the database itself
	through  []string
	env      []string // of the replicas
	owner    *syscall.Credential
	replicas int // 0: 3
	pace     time.Duration
}

// rig is a cluster at work: replicas, and clients that keep them busy.
type rig struct {
	setup
	t        *testing.T
	seed     uint64
	rng      *rand.Rand // of the faults
	dir      string
	db       *sql.DB // beside the faults: what is measured
	replicas []*replica
	clients  []*process
	stalls   []time.Duration
	runs     int
}

type replica struct {
	*process
	number  int
	address string
}

// clients of a run: all but the last send over HTTP.
const clients = 4

func newRig(t *testing.T, seed uint64, s setup) *rig {
	t.Helper()
	if s.setupDefaults(); s.program == "" {
		s.program = program(t)
	}
	dir := t.TempDir()
	if err := openTo(dir, s.owner); err != nil {
		t.Fatal(err)
	}
	r := &rig{setup: s, t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0xfa017)), dir: dir}
	var err error
	if r.db, err = openDatabase(s.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	r.db.SetMaxOpenConns(2)
	r.db.SetMaxIdleConns(2)
	t.Cleanup(func() {
		if t.Failed() {
			r.tellLogs()
		}
	})
	for i := range s.replicas {
		w := &replica{number: i, address: freeAddress(t)}
		r.replicas = append(r.replicas, w)
		r.start(w)
	}
	r.await("the database is ready", func() bool { _, err := r.positions(); return err == nil })
	for i := range clients {
		r.clients = append(r.clients, r.client(i))
	}
	return r
}

func (s *setup) setupDefaults() {
	if s.replicas == 0 {
		s.replicas = 3
	}
	if s.pace == 0 {
		s.pace = 10 * time.Millisecond
	}
}

// openTo lets the owner of the replicas into a folder and all above it that the tests made.
func openTo(dir string, owner *syscall.Credential) error {
	if owner == nil {
		return nil
	}
	if err := reachable(dir); err != nil {
		return err
	}
	return os.Chown(dir, int(owner.Uid), int(owner.Gid))
}

// reachable lets everybody into a folder of the temporary ones.
func reachable(dir string) error {
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// environ is the environment of a process of the program.
func (r *rig) environ(url string, more ...string) []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "SAFEBOX_") && !strings.HasPrefix(setting, "DATABASE=") && !strings.HasPrefix(setting, "DB_") {
			env = append(env, setting)
		}
	}
	// Small batches: many moments to strike at.
	env = append(env, "DATABASE="+url, "SAFEBOX_BATCH=20", "DB_POOL_SIZE=6", "DB_MAX_OVERFLOW=2", "DB_POOL_TIMEOUT_SECONDS=5", "GOMAXPROCS=2")
	return append(append(env, r.env...), more...)
}

// start starts a replica, on its own way to the database where it has one.
func (r *rig) start(w *replica) {
	r.t.Helper()
	url := r.url
	if w.number < len(r.through) && r.through[w.number] != "" {
		url = r.through[w.number]
	}
	cmd := exec.Command(r.program, "worker")
	cmd.Dir = r.dir
	cmd.Env = r.environ(url, "SAFEBOX_HTTP_ADDR="+w.address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.owner}
	w.process = launch(r.t, cmd, filepath.Join(r.dir, fmt.Sprintf("replica-%d.log", w.number)))
}

// mend starts the replicas that died.
func (r *rig) mend() {
	r.t.Helper()
	for _, w := range r.replicas {
		if !w.alive() {
			r.start(w)
		}
	}
}

func (r *rig) client(i int) *process {
	r.t.Helper()
	dir := filepath.Join(r.dir, fmt.Sprintf("client-%d", i))
	if err := os.Mkdir(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if r.owner != nil {
		if err := os.Chown(dir, int(r.owner.Uid), int(r.owner.Gid)); err != nil {
			r.t.Fatal(err)
		}
	}
	o := orders{
		Name: fmt.Sprintf("client %d", i), Seed: r.seed, Number: i, Clients: clients, Journal: r.journal(i), Database: r.url, Program: r.program, Dir: dir,
		Env: r.environ(r.url), Pause: r.pace,
	}
	if i < clients-1 {
		for k := range r.replicas {
			o.Addresses = append(o.Addresses, r.replicas[(i+k)%len(r.replicas)].address)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		r.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err == nil && r.owner != nil {
		err = reachable(filepath.Dir(exe))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asClient+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.owner}
	return launch(r.t, cmd, filepath.Join(r.dir, fmt.Sprintf("client-%d.log", i)))
}

func (r *rig) journal(i int) string {
	return filepath.Join(r.dir, fmt.Sprintf("client-%d", i), "history.jsonl")
}

// positions is where each partition's log and cursor end.
type positions struct{ head, cursor [partitions]int64 }

// pending tells whether a partition has work.
func (p *positions) pending(i int) bool { return p.head[i] > p.cursor[i] }

func (p *positions) sum() (heads, cursors int64) {
	for i := range partitions {
		heads, cursors = heads+p.head[i], cursors+p.cursor[i]
	}
	return heads, cursors
}

func (r *rig) positions() (p positions, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	n := 0
	err = each(ctx, r.db, `SELECT c.partition, c.position, coalesce((SELECT l.position FROM event_log l
		WHERE l.topic = c.topic AND l.partition = c.partition ORDER BY l.position DESC LIMIT 1), 0)
		FROM event_cursor c WHERE c.topic = 'wallet' AND c.consumer_group = 'ledger'`, func(rows *sql.Rows) error {
		var i int
		var cursor, head int64
		if err := rows.Scan(&i, &cursor, &head); err != nil {
			return err
		}
		p.head[i], p.cursor[i] = head, cursor
		n++
		return nil
	})
	if err == nil && n != partitions {
		err = fmt.Errorf("%d cursors", n)
	}
	return p, err
}

// await asks every few milliseconds until the answer is yes.
func (r *rig) await(what string, yes func() bool) {
	r.t.Helper()
	end := time.Now().Add(limit)
	for !yes() {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within %v (seed %d)", what, limit, r.seed)
		}
		r.pause(10 * time.Millisecond)
	}
}

func (r *rig) pause(d time.Duration) { <-time.After(d) }

// between draws a time.
func (r *rig) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.rng.Int64N(int64(most-least)+1))
}

// recovered waits until every partition that had work has moved, and an event that came later is applied too, and notes how long
// that took since a moment.
func (r *rig) recovered(since time.Time) {
	r.t.Helper()
	var first positions
	r.await("the database answers", func() bool {
		var err error
		first, err = r.positions()
		return err == nil
	})
	heads, _ := first.sum()
	waiting := map[int]bool{}
	for i := range partitions {
		if first.pending(i) {
			waiting[i] = true
		}
	}
	fresh := false
	r.await("events are applied again", func() bool {
		p, err := r.positions()
		if err != nil {
			return false
		}
		for i := range waiting {
			if p.cursor[i] > first.cursor[i] {
				delete(waiting, i)
			}
		}
		if now, _ := p.sum(); now > heads {
			for i := range partitions {
				fresh = fresh || p.cursor[i] > first.head[i]
			}
		}
		return fresh && len(waiting) == 0
	})
	stall := time.Since(since)
	r.stalls = append(r.stalls, stall)
	if stall > longestStall {
		r.t.Errorf("events stood still for %v (seed %d, injection %d)", stall, r.seed, r.runs)
	}
}

// stop ends the clients, waits until everything is applied, and judges.
func (r *rig) stop() Report {
	r.t.Helper()
	for _, c := range r.clients {
		c.in.Close()
	}
	var histories []History
	for i, c := range r.clients {
		if !c.endsWithin(clientPatience+10*time.Second) || !c.cmd.ProcessState.Success() {
			r.t.Errorf("client %d did not end well (seed %d): %s", i, r.seed, tailOf(filepath.Join(r.dir, fmt.Sprintf("client-%d.log", i))))
		}
		h, err := ReadHistory(fmt.Sprintf("client %d", i), r.journal(i))
		if err != nil {
			r.t.Fatal(err)
		}
		histories = append(histories, h)
	}
	r.settle()
	books, err := ReadBooks(context.Background(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	return Check(histories, &books)
}

// settle waits until nothing is left to process, or nothing moves any more: then the checker will say what is left.
func (r *rig) settle() {
	r.t.Helper()
	moved := time.Now()
	var last int64
	for time.Since(moved) < 2*longestStall {
		p, err := r.positions()
		heads, cursors := p.sum()
		if err == nil && heads == cursors {
			return
		}
		if cursors > last {
			last, moved = cursors, time.Now()
		}
		r.pause(20 * time.Millisecond)
	}
}

// drain ends the replicas as an operator does.
func (r *rig) drain() {
	r.t.Helper()
	for _, w := range r.replicas {
		w.signal(syscall.SIGTERM)
	}
	for _, w := range r.replicas {
		if !w.endsWithin(limit) || !w.cmd.ProcessState.Success() {
			r.t.Errorf("replica %d did not end well: %v", w.number, w.cmd.ProcessState)
		}
	}
}

// audit asks the program itself.
func (r *rig) audit() {
	r.t.Helper()
	cmd := exec.Command(r.program, "audit", "--rebuild")
	cmd.Env = r.environ(r.url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Errorf("safebox audit --rebuild: %v (seed %d)\n%s", err, r.seed, out)
	}
}

func (r *rig) tellLogs() {
	files, _ := filepath.Glob(filepath.Join(r.dir, "*.log")) // the pattern is well formed
	for _, f := range files {
		r.t.Logf("%s ends:\n%s", filepath.Base(f), tailOf(f))
	}
}

func tailOf(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 3 << 10
	return string(b[max(0, len(b)-most):])
}
