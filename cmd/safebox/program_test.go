package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// asProgram makes the test binary be the program.
const asProgram = "SAFEBOX_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	dbtest.Main(m)
}

// limit is the longest that a process may take to do what a test waits for.
const limit = 60 * time.Second

// site is a place to run the program in: a folder and a database of the test's own.
type site struct {
	t   *testing.T
	url string
	dir string
	env []string // settings beside the database
}

func newSite(t *testing.T, url string, env ...string) *site {
	return &site{t: t, url: url, dir: t.TempDir(), env: env}
}

// result is what a process printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

func (s *site) command(env []string, args ...string) *exec.Cmd {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command(exe, args...)
	c.Dir = s.dir
	c.Env = append(otherEnviron(), asProgram+"=1")
	c.Env = append(c.Env, s.settings(env)...)
	return c
}

// settings are the variables that a command sees beside those of this process; the last of a name holds.
func (s *site) settings(env []string) []string {
	return slices.Concat([]string{"DATABASE=" + s.url, "SAFEBOX_HTTP_ADDR=127.0.0.1:0"}, s.env, env)
}

// getenv reads the same variables for a command in this process.
func (s *site) getenv(env []string) func(string) string {
	values := map[string]string{}
	for _, kv := range append(otherEnviron(), s.settings(env)...) {
		name, value, _ := strings.Cut(kv, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

// run runs a command to its end, in this process: it goes through all of the program but main, and costs no start.
func (s *site) run(args ...string) result {
	s.t.Helper()
	return s.runWith(nil, "", args...)
}

func (s *site) runWith(env []string, stdin string, args ...string) result {
	s.t.Helper()
	if slices.Contains(args, "demo") { // it starts itself, again and again
		return s.runAlone(env, args...)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	out, problems := newJournal(), newJournal()
	a := app{in: strings.NewReader(stdin), out: out, err: problems, getenv: s.getenv(env)}
	begun := time.Now()
	code := a.run(ctx, args)
	return result{out.text(), problems.text(), code, time.Since(begun)}
}

// runAlone is run in a process of the command's own.
func (s *site) runAlone(env []string, args ...string) result {
	s.t.Helper()
	var out, problems bytes.Buffer
	c := s.command(env, args...)
	c.Stdout, c.Stderr = &out, &problems
	begun := time.Now()
	timer := time.AfterFunc(limit, func() { c.Process.Signal(syscall.SIGQUIT) }) //nolint:errcheck // it may just have ended
	defer timer.Stop()
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return result{out.String(), problems.String(), c.ProcessState.ExitCode(), time.Since(begun)}
}

// here runs a command to its end in the test's own process, which is cheaper than a process of its own.
func (s *site) here(args ...string) result {
	s.t.Helper()
	settings := map[string]string{"DATABASE": s.url, "SAFEBOX_HTTP_ADDR": "127.0.0.1:0"}
	for _, kv := range s.env {
		name, value, _ := strings.Cut(kv, "=")
		settings[name] = value
	}
	var out, problems bytes.Buffer
	a := app{in: strings.NewReader(""), out: &out, err: &problems, getenv: func(name string) string { return settings[name] }}
	begun := time.Now()
	code := a.run(s.t.Context(), args)
	return result{out.String(), problems.String(), code, time.Since(begun)}
}

// does is here for a command that has to succeed.
func (s *site) does(args ...string) string {
	s.t.Helper()
	return s.succeeded(args, s.here(args...))
}

// ok runs the program and expects it to succeed.
func (s *site) ok(args ...string) string {
	s.t.Helper()
	return s.succeeded(args, s.run(args...))
}

func (s *site) succeeded(args []string, r result) string {
	s.t.Helper()
	if r.code != 0 {
		s.t.Fatalf("safebox %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// answer runs the program with --json and reads its one document, whatever the exit code.
func answer[T any](s *site, args ...string) (T, result) {
	s.t.Helper()
	return decoded[T](s, args, s.run(append(args, "--json")...))
}

// answerHere is answer in the test's own process.
func answerHere[T any](s *site, args ...string) (T, result) {
	s.t.Helper()
	return decoded[T](s, args, s.here(append(args, "--json")...))
}

func decoded[T any](s *site, args []string, r result) (T, result) {
	s.t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(r.stdout))
	if err := d.Decode(&v); err != nil {
		s.t.Fatalf("safebox %s --json: %v\nexit %d\nstdout %q\nstderr %s", strings.Join(args, " "), err, r.code, r.stdout, r.stderr)
	}
	if d.More() {
		s.t.Fatalf("safebox %s --json printed more than one document: %q", strings.Join(args, " "), r.stdout)
	}
	return v, r
}

// write puts a file into the site's folder.
func (s *site) write(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// sql opens the site's database behind the program's back.
func (s *site) sql() *sql.DB {
	s.t.Helper()
	driver, dsn := "pgx", s.url
	if path, ok := strings.CutPrefix(s.url, "sqlite:///"); ok {
		driver, dsn = "sqlite3", "file:"+path
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() })
	return db
}

func (s *site) exec(statements ...string) {
	s.t.Helper()
	db := s.sql()
	defer db.Close()
	for _, st := range statements {
		if _, err := db.ExecContext(s.t.Context(), st); err != nil {
			s.t.Fatalf("%s: %v", st, err)
		}
	}
}

func (s *site) dialect() storage.Dialect {
	if strings.HasPrefix(s.url, "sqlite") {
		return storage.SQLite
	}
	return storage.PostgreSQL
}

// process is a running program.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *journal
	ended chan struct{}
}

// start starts the program; it is killed at the end of the test if it still runs.
func (s *site) start(env []string, args ...string) *process {
	s.t.Helper()
	return s.launch(s.command(env, args...))
}

// launch is start for a command that was made before.
func (s *site) launch(c *exec.Cmd) *process {
	s.t.Helper()
	p := &process{t: s.t, cmd: c, log: newJournal(), ended: make(chan struct{})}
	p.cmd.Stderr = p.log
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = p.log
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // its state tells
		close(p.ended)
	}()
	s.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

func (p *process) signal(sig syscall.Signal) { p.cmd.Process.Signal(sig) } //nolint:errcheck // it may have ended

// wait waits for the end of the process and returns its exit code, or 128 + the signal that ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("the process did not end within %v; its log:\n%s", limit, p.log.text())
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// await waits for a line of the log that has the text.
func (p *process) await(text string) {
	p.t.Helper()
	if !p.log.await(text, limit, p.ended) {
		p.t.Fatalf("no %q in the log of a process that ended or had %v:\n%s", text, limit, p.log.text())
	}
}

// journal collects what a process prints and wakes those who wait for a line of it.
type journal struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed and replaced when more is printed
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.changed)
	j.changed = make(chan struct{})
	return j.buf.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) await(text string, within time.Duration, ended <-chan struct{}) bool {
	end := time.After(within)
	for {
		j.mu.Lock()
		found, changed := strings.Contains(j.buf.String(), text), j.changed
		j.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-changed:
		case <-ended:
			return strings.Contains(j.text(), text)
		case <-end:
			return false
		}
	}
}

// troubles are the lines of a JSON log at or above warning, and whatever is no JSON.
func (j *journal) troubles() []string {
	var found []string
	for line := range strings.Lines(j.text()) {
		var entry struct{ Level string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "WARN" || entry.Level == "ERROR" {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() (bool, string)) {
	t.Helper()
	var state string
	if !dbtest.Until(limit, func() (ok bool) {
		ok, state = yes()
		return ok
	}) {
		t.Fatalf("%s: not within %v; at last: %s", what, limit, state)
	}
}

// idle waits until every event in the log is processed. It asks the database itself, which is quicker than a process.
func (s *site) idle() {
	s.t.Helper()
	db := s.sql()
	defer db.Close()
	eventually(s.t, "every event is processed", func() (bool, string) {
		appended, processed, err := progress(s.t.Context(), db)
		return err == nil && appended == processed, fmt.Sprintf("%d appended, %d processed, %v", appended, processed, err)
	})
}

// processed waits until at least n events are processed, and tells how many are not at that moment.
func (s *site) processed(n int64) (waiting int64) {
	s.t.Helper()
	db := s.sql()
	defer db.Close()
	eventually(s.t, fmt.Sprintf("%d events are processed", n), func() (bool, string) {
		appended, processed, err := progress(s.t.Context(), db)
		waiting = appended - processed
		return err == nil && processed >= n, fmt.Sprintf("%d processed, %v", processed, err)
	})
	return waiting
}

// done is how many events are processed now.
func (s *site) done() int64 {
	s.t.Helper()
	db := s.sql()
	defer db.Close()
	_, processed, err := progress(s.t.Context(), db)
	if err != nil {
		s.t.Fatal(err)
	}
	return processed
}

func progress(ctx context.Context, db *sql.DB) (appended, processed int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM event_log WHERE topic = 'wallet'),
		(SELECT coalesce(sum(position), 0) FROM event_cursor WHERE topic = 'wallet')`).Scan(&appended, &processed)
	return appended, processed, err
}
