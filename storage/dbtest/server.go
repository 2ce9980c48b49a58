package dbtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options of a server; the zero value is what tests want.
type Options struct {
	Fsync          bool              // on for benchmarks and for tests of crashes of the machine
	MaxConnections int               // 0: 300
	Settings       map[string]string // more settings, as in postgresql.conf
	Dir            string            // where the server's folder is made; "": in memory without Fsync, or where temporary files are
	Log            string            // the file of the server's log, for one whose disk fills; "": in its folder
	Env            []string          // of the server's processes, beside this process's
}

// PostgreSQLServer is a private server. Its methods are for one goroutine, but for URL and Database.
type PostgreSQLServer struct {
	existing string // the URL of a server that is not ours

	dir     string
	log     string // a file
	port    int
	args    []string
	env     []string
	janitor *janitor

	mu        sync.Mutex
	number    int               // of databases made
	templates map[string]string // the names of databases that others are copies of, by what they hold
	spares    []string          // the names of empty databases that a test did not need

	admin *administrator // of the shared server; nil: each statement has a connection of its own

	process *process // nil while stopped
}

// The ways to stop a server, as pg_ctl calls them.
const (
	Fast      = "fast"      // ends the sessions, then shuts down in order
	Immediate = "immediate" // drops everything: the next start recovers
)

// Server starts a server of the test's own; it ends with the test.
func Server(tb testing.TB, o Options) *PostgreSQLServer {
	tb.Helper()
	s := start(tb, o)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the server's log ends:\n%s", s.Log())
		}
		s.remove()
	})
	return s
}

// start makes a data directory and starts a server on it.
func start(tb testing.TB, o Options) *PostgreSQLServer {
	tb.Helper()
	owner, err := serverOwner()
	if err != nil {
		tb.Fatal(err)
	}
	if o.Dir == "" && !o.Fsync {
		o.Dir = memory()
	}
	dir, err := os.MkdirTemp(o.Dir, "safebox-pg-")
	if err != nil {
		tb.Fatal(err)
	}
	s := &PostgreSQLServer{dir: dir, log: orElse(o.Log, filepath.Join(dir, "server.log")), env: o.Env}
	if s.janitor, err = newJanitor(dir); err != nil {
		tb.Fatal(err)
	}
	if err := s.initialise(Program(tb, "initdb"), owner); err != nil {
		s.remove()
		tb.Fatal(err)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 300
	}
	s.args = []string{
		Program(tb, "postgres"), "-D", s.data(),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=" + dir,
		"-c", "max_connections=" + strconv.Itoa(o.MaxConnections),
		"-c", "shared_buffers=128MB",
		"-c", "max_wal_size=2GB",
		"-c", "log_line_prefix=%m [%p] %q%a ",
		"-c", "timezone=UTC",
	}
	if !o.Fsync {
		s.args = append(s.args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	for name, value := range o.Settings {
		s.args = append(s.args, "-c", name+"="+value)
	}
	if err := s.Start(); err != nil {
		log := s.Log()
		s.remove()
		tb.Fatalf("%v; its log ends:\n%s", err, log)
	}
	return s
}

// URL names a database of the server; "" stands for postgres, which is always there.
func (s *PostgreSQLServer) URL(database string) string {
	if database == "" {
		database = "postgres"
	}
	if s.existing != "" {
		return withDatabase(s.existing, database)
	}
	return fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s", s.port, database)
}

// Port is the server's TCP port, on 127.0.0.1.
func (s *PostgreSQLServer) Port() int { return s.port }

// SocketDir is the folder of the server's Unix socket.
func (s *PostgreSQLServer) SocketDir() string { return s.dir }

// Database makes an empty database, which is dropped when the test ends, and returns its URL.
func (s *PostgreSQLServer) Database(tb testing.TB) string {
	tb.Helper()
	s.mu.Lock()
	s.number++
	name := prefix() + strconv.Itoa(s.number)
	spare := ""
	if n := len(s.spares); n > 0 {
		spare, s.spares = s.spares[n-1], s.spares[:n-1]
	}
	s.mu.Unlock()
	if err := s.make(name, spare); err != nil {
		tb.Fatalf("making a database: %v", err)
	}
	tb.Cleanup(func() {
		if s.existing == "" && s.process == nil { // stopped by the test: it goes with the folder
			return
		}
		if err := s.administer("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			tb.Logf("dropping the test's database: %v", err)
		}
	})
	return s.URL(name)
}

// make makes an empty database of a spare one, or of the template where there is none.
func (s *PostgreSQLServer) make(name, spare string) (err error) {
	if spare != "" {
		return s.administer(renamed(spare, name))
	}
	template := "template0"
	if s.admin != nil {
		if template, err = s.template("empty", warm); err != nil {
			return err
		}
	}
	return s.administer(s.copyOf(template, name))
}

// administer runs statements about databases.
func (s *PostgreSQLServer) administer(statements ...string) error {
	if s.admin != nil {
		return s.admin.do(statements...)
	}
	return administer(s.URL(""), statements...)
}

// Start starts the stopped server on its old port and waits until it answers.
func (s *PostgreSQLServer) Start() error {
	if s.process != nil {
		return nil
	}
	owner, err := serverOwner()
	if err != nil {
		return err
	}
	for range 5 {
		if err = s.startOnce(owner); err == nil {
			return nil
		}
		if s.started() {
			break // its port is known to others: it must not change
		}
	}
	return err
}

func (s *PostgreSQLServer) startOnce(owner *syscall.Credential) error {
	port := s.port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own descriptor
	p, err := spawn(append(s.args[:len(s.args):len(s.args)], "-c", "port="+strconv.Itoa(port)), owner, s.env, log)
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.process = p
	url := fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/postgres", port)
	if err := p.awaitAnswer(url, time.Minute); err != nil {
		p.end(syscall.SIGQUIT)
		s.process = nil
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	s.port = port
	s.janitor.watch(p.pid())
	return nil
}

func (s *PostgreSQLServer) started() bool { return s.port != 0 }

// Stop stops the server in one of the ways above and waits for its end.
func (s *PostgreSQLServer) Stop(mode string) {
	if s.process == nil {
		return
	}
	sig := syscall.SIGINT
	if mode == Immediate {
		sig = syscall.SIGQUIT
	}
	s.process.end(sig)
	s.process = nil
}

// Kill ends all of the server's processes with SIGKILL, as a machine that loses its power would.
func (s *PostgreSQLServer) Kill() {
	if s.process == nil {
		return
	}
	s.process.killAll()
	s.process = nil
}

// Restart stops the server fast and starts it again.
func (s *PostgreSQLServer) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop(Fast)
	if err := s.Start(); err != nil {
		tb.Fatalf("%v; its log ends:\n%s", err, s.Log())
	}
}

// Log is the end of the server's log.
func (s *PostgreSQLServer) Log() string { return tail(s.log) }

// Said counts how often the server's log says something, from its first start on.
func (s *PostgreSQLServer) Said(what *regexp.Regexp) int {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return 0
	}
	return len(what.FindAllIndex(b, -1))
}

// remove ends the server and removes its files; of a server that is not ours, what is left there.
func (s *PostgreSQLServer) remove() {
	if s.existing != "" {
		s.removeTemplates()
	}
	if s.admin != nil {
		s.admin.close()
	}
	if s.existing != "" {
		return
	}
	s.Stop(Immediate)
	s.janitor.finish()
}

func (s *PostgreSQLServer) data() string { return filepath.Join(s.dir, "data") }
