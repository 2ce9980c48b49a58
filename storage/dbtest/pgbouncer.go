package dbtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const installPgBouncer = "the program pgbouncer is missing; on Debian and Ubuntu: apt-get install -y pgbouncer"

// The ways in which PgBouncer shares its connections to the server.
const (
	SessionMode     = "session"     // a client keeps a connection until it leaves
	TransactionMode = "transaction" // until the end of each transaction
	StatementMode   = "statement"   // until the end of each statement; it refuses transactions
)

// pooledConnections is how many connections PgBouncer keeps to the server: fewer than its clients, so that each of them
// is on another one from transaction to transaction.
const pooledConnections = 4

// PgBouncer starts a pooler of the test's own in front of the server of a database, as the role postgres of which all
// clients use it, and returns the URL of the same database through it. Settings are more lines of its configuration,
// "name = value". It ends with the test.
func PgBouncer(tb testing.TB, database, mode string, settings ...string) string {
	tb.Helper()
	return NewPooler(tb, database, mode, settings...).URL()
}

// Pooler is a running PgBouncer.
type Pooler struct {
	program, config, log string
	owner                *syscall.Credential
	url                  string
	process              *process
}

// NewPooler is PgBouncer for a test that restarts it.
func NewPooler(tb testing.TB, database, mode string, settings ...string) *Pooler {
	tb.Helper()
	program, err := pgBouncerProgram()
	if err != nil {
		tb.Fatal(err)
	}
	owner, err := serverOwner()
	if err != nil {
		tb.Fatal(err)
	}
	server, err := url.Parse(database)
	if err != nil {
		tb.Fatal("the URL of the database behind PgBouncer cannot be read") // the error would show its password
	}
	dir, err := os.MkdirTemp("", "safebox-pgbouncer-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // what is left lies in the folder for temporary files
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	through := *server
	through.Host = "127.0.0.1:" + strconv.Itoa(port)
	p := &Pooler{
		program: program, config: filepath.Join(dir, "pgbouncer.ini"), log: filepath.Join(dir, "pgbouncer.log"), owner: owner, url: through.String(),
	}
	if err := writePgBouncerConfig(p.config, server, port, mode, settings, owner); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if p.process != nil {
			p.process.end(syscall.SIGTERM) // at once: whoever is still connected is cut
		}
		if tb.Failed() {
			tb.Logf("PgBouncer's log ends:\n%s", tail(p.log))
		}
	})
	p.start(tb)
	return p
}

// URL is that of the database through the pooler.
func (p *Pooler) URL() string { return p.url }

// Restart ends the pooler, which cuts whoever is connected, and starts it again at the same place.
func (p *Pooler) Restart(tb testing.TB) {
	tb.Helper()
	p.process.end(syscall.SIGTERM)
	p.start(tb)
}

func (p *Pooler) start(tb testing.TB) {
	tb.Helper()
	var err error
	if p.process, err = startPgBouncer(p.program, p.config, p.log, p.owner); err != nil {
		tb.Fatal(err)
	}
	if err := p.process.awaitAnswer(p.url, time.Minute); err != nil {
		tb.Fatalf("PgBouncer: %v", err)
	}
}

// pgBouncerProgram finds the program, also where only root's PATH leads to it.
func pgBouncerProgram() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New(installPgBouncer)
}

func writePgBouncerConfig(path string, server *url.URL, port int, mode string, settings []string, owner *syscall.Credential) error {
	behind := fmt.Sprintf("host=%s port=%s user=%s", server.Hostname(), orElse(server.Port(), "5432"), orElse(server.User.Username(), "postgres"))
	if password, ok := server.User.Password(); ok {
		behind += " password=" + password
	}
	lines := append([]string{
		"[databases]", "* = " + behind, "[pgbouncer]",
		"listen_addr = 127.0.0.1", "listen_port = " + strconv.Itoa(port), "unix_socket_dir =",
		"auth_type = any", // the loopback address is the fence, as it is for the server
		"pool_mode = " + mode,
		"default_pool_size = " + strconv.Itoa(pooledConnections),
		"max_client_conn = 500",
	}, settings...)
	// It may hold a password, so it is the pooler's alone.
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if owner == nil {
		return nil
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := os.Chown(p, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

func startPgBouncer(program, config, log string, owner *syscall.Credential) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the pooler has its own descriptor
	p, err := spawn([]string{program, config}, owner, nil, f)
	if err != nil {
		return nil, fmt.Errorf("starting PgBouncer: %w", err)
	}
	return p, nil
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// tail is the end of a log file.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 8 << 10
	return string(b[max(0, len(b)-most):])
}
