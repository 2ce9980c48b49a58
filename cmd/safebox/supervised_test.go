package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// manager is a service manager that listens to what a process tells it.
type manager struct {
	t      *testing.T
	socket string
	conn   *net.UnixConn
}

// newManager listens at a path or, with an @, in the abstract namespace.
func newManager(t *testing.T, socket string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, socket, conn}
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "notify") }

// watching are the variables that systemd would set for a unit with a watchdog.
func (m *manager) watching(within time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.socket, fmt.Sprintf("WATCHDOG_USEC=%d", within.Microseconds())}
}

// next is the next message; "" when there is none within d.
func (m *manager) next(d time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil && !os.IsTimeout(err) {
		m.t.Fatal(err)
	}
	return string(buf[:n])
}

// until reads until a message that begins with the text, and returns it with those that came before.
func (m *manager) until(text string) (found string, before []string) {
	m.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		message := m.next(time.Until(end))
		if strings.HasPrefix(message, text) {
			return message, before
		}
		before = append(before, message)
	}
	m.t.Fatalf("no message %s…; there were %q", text, before)
	return "", nil
}

// quiet waits until no message comes for d.
func (m *manager) quiet(d time.Duration) {
	m.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if m.next(d) == "" {
			return
		}
	}
	m.t.Fatalf("a message came within every %v", d)
}

func TestAWorkerTellsItsServiceManagerHowItFares(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		for _, socket := range []string{socketPath(t), "@safebox-" + letters(12)} {
			m := newManager(t, socket)
			p := newSite(t, url).start(m.watching(300*time.Millisecond), "worker")
			_, before := m.until("READY=1")
			said := strings.Join(before, "\n")
			if !strings.Contains(said, "STATUS=preparing") || !strings.Contains(said, "EXTEND_TIMEOUT_USEC=60000000") {
				t.Errorf("before it was ready it said %q", before)
			}
			if status, body := ask(t, http.MethodGet, p.address()+"/readyz", "", "", nil); status != http.StatusOK {
				t.Errorf("it said that it is ready, and answers %d %s", status, body)
			}
			if working := "STATUS=processing events: 0 waiting, 0 parked"; !strings.Contains(said, working) {
				m.until(working) // the heartbeat and the lanes start at the same time
			}
			m.until("WATCHDOG=1")
			m.until("WATCHDOG=1")
			p.signal(syscall.SIGTERM)
			m.until("STOPPING=1")
			if status, _ := m.until("STATUS="); !strings.HasPrefix(status, "STATUS=draining") {
				t.Errorf("it said %q", status)
			}
			if code := p.wait(); code != 0 || len(p.log.troubles()) > 0 {
				t.Errorf("exit %d; its log:\n%s", code, p.log.text())
			}
		}
	})
}

func TestAWorkerThatIsFrozenGivesNoSignOfLife(t *testing.T) {
	m := newManager(t, socketPath(t))
	p := newSite(t, dbtest.SQLite(t)).start(m.watching(300*time.Millisecond), "worker")
	m.until("READY=1")
	p.signal(syscall.SIGSTOP)
	m.quiet(time.Second)
	p.signal(syscall.SIGCONT)
	m.until("WATCHDOG=1")
	drain(t, []*process{p})
}

// A worker that waits for a leader is started, not ready: its start may take as long as the leader's work does.
func TestAWorkerThatWaitsForALeaderAsksForMoreTime(t *testing.T) {
	s := newSite(t, dbtest.PostgreSQL(t))
	holder, err := s.sql().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "SELECT pg_advisory_lock(841337001)"); err != nil {
		t.Fatal(err)
	}
	m := newManager(t, socketPath(t))
	p := s.start(m.watching(300*time.Millisecond), "worker")
	for range 5 {
		if _, before := m.until("EXTEND_TIMEOUT_USEC="); strings.Contains(strings.Join(before, "\n"), "READY=1") {
			t.Fatal("it said that it is ready while another prepares the database")
		}
		m.until("WATCHDOG=1")
	}
	if _, err := holder.ExecContext(t.Context(), "SELECT pg_advisory_unlock(841337001)"); err != nil {
		t.Fatal(err)
	}
	m.until("READY=1")
	drain(t, []*process{p})
}

// A dead database is no reason to restart a worker: it says what is wrong and goes on by itself when the database is back.
// In the long form the database stays away for longer than a replica may be stuck.
func TestAWorkerStaysAliveWhileItsDatabaseIsDead(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{})
	m := newManager(t, socketPath(t))
	p := newSite(t, server.Database(t)).start(m.watching(300*time.Millisecond), "worker")
	m.until("READY=1")
	server.Stop("immediate")
	m.until("STATUS=no heartbeat was written")
	away := 2 * time.Second
	if os.Getenv("SAFEBOX_TEST_LONG") == "1" {
		away = 50 * time.Second
	}
	for end := time.Now().Add(away); time.Now().Before(end); {
		begun := time.Now()
		if m.until("WATCHDOG=1"); time.Since(begun) > 10*time.Second {
			t.Errorf("the last sign of life took %v", time.Since(begun))
		}
	}
	if status, body := ask(t, http.MethodGet, p.address()+"/readyz", "", "", nil); status != http.StatusServiceUnavailable {
		t.Errorf("without a database it answers %d %s", status, body)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	m.until("STATUS=processing events")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit %d; its log:\n%s", code, p.log.text())
	}
}

func TestAVariableOfTheServiceManagerThatCannotBeReadIsOneWarning(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	r := s.runWith([]string{"NOTIFY_SOCKET=notify", "SAFEBOX_LOG_FORMAT=json"}, "", "worker", "--until-idle")
	if r.code != 0 || strings.Count(r.stderr, `"level":"WARN"`) != 1 || !strings.Contains(r.stderr, "NOTIFY_SOCKET is") {
		t.Errorf("exit %d:\n%s", r.code, r.stderr)
	}
}

func TestHealthcheckAsksTheReplica(t *testing.T) {
	server := dbtest.Server(t, dbtest.Options{})
	s := newSite(t, server.Database(t))
	ps := s.workers(1)
	addr := strings.TrimPrefix(ps[0].address(), "http://")
	eventually(t, "the worker is ready", func() (bool, string) {
		r := s.run("healthcheck", "--http-addr", addr)
		return r.code == 0 && r.stdout+r.stderr == "", r.stderr
	})
	server.Stop("immediate")
	if r := s.run("healthcheck", "--live", "--http-addr", addr); r.code != 0 {
		t.Errorf("a live replica without its database: exit %d, %s", r.code, r.stderr)
	}
	if r := s.run("healthcheck", "--http-addr", addr); r.code != exitAgain || !strings.Contains(r.stderr, "what does not hold: database (") {
		t.Errorf("a replica without its database: exit %d, %s", r.code, r.stderr)
	}
	ps[0].signal(syscall.SIGKILL)
	ps[0].wait()
	if r := s.run("healthcheck", "--http-addr", addr); r.code != exitUnreachable || !strings.Contains(r.stderr, "no replica answers") {
		t.Errorf("no replica: exit %d, %s", r.code, r.stderr)
	}
}

func TestAnAddressThatMeansAllOfThemIsAskedOnThisMachine(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "[::]:8080": "[::1]:8080", "10.0.0.7:80": "10.0.0.7:80", "localhost:1": "localhost:1",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s is asked at %s, want %s", addr, got, want)
		}
	}
}
