package sdnotify_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/sdnotify"
)

const pid = 4711

// manager listens where systemd would.
func manager(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatalf("nothing was received: %v", err)
	}
	return string(buf[:n])
}

// environment is a set of variables, as os.Getenv reads them.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func notifier(t *testing.T, e environment, log *bytes.Buffer) *sdnotify.Notifier {
	t.Helper()
	n, err := sdnotify.New(e.get, pid, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMessagesArriveAtAPathAndInTheAbstractNamespace(t *testing.T) {
	for name, socket := range map[string]string{
		"a path":       filepath.Join(t.TempDir(), "notify"),
		"the abstract": fmt.Sprintf("@safebox-test-%d-%d", os.Getpid(), time.Now().UnixNano()),
	} {
		t.Run(name, func(t *testing.T) {
			conn := manager(t, socket)
			n := notifier(t, environment{"NOTIFY_SOCKET": socket}, nil)
			for _, c := range []struct {
				call func()
				want string
			}{
				{func() { n.Extend(90 * time.Second) }, "EXTEND_TIMEOUT_USEC=90000000"},
				{n.Ready, "READY=1"},
				{n.Alive, "WATCHDOG=1"},
				{n.Stopping, "STOPPING=1"},
				{func() { n.Status("no heartbeat:\nREADY=1\n the database  is away") }, "STATUS=no heartbeat: READY=1 the database is away"},
				{func() { n.Status(strings.Repeat("ä", 1000)) }, "STATUS=" + strings.Repeat("ä", 150) + "…"},
			} {
				c.call()
				if got := receive(t, conn); got != c.want {
					t.Errorf("received %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestTheWatchdogIsThatOfThisProcess(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		wrong     bool
	}{
		{usec: "60000000", pid: "4711", want: time.Minute},
		{usec: "60000000", want: time.Minute},
		{usec: "60000000", pid: "1"},
		{pid: "4711"},
		{usec: "a minute", wrong: true},
		{usec: "0", wrong: true},
		{usec: "-1", wrong: true},
		{usec: "9223372036854775807", wrong: true},
	} {
		e := environment{"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		n, err := sdnotify.New(e.get, pid, slog.New(slog.DiscardHandler))
		if n.Watchdog() != c.want || (err != nil) != c.wrong {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: %v, %v; want %v", c.usec, c.pid, n.Watchdog(), err, c.want)
		}
		if c.wrong && !strings.Contains(err.Error(), "WATCHDOG_USEC") {
			t.Errorf("the error does not name the variable: %v", err)
		}
	}
}

func TestASocketThatIsNoneIsNamed(t *testing.T) {
	for _, socket := range []string{"notify", "@", "/", "vsock:2:1234"} {
		n, err := sdnotify.New(environment{"NOTIFY_SOCKET": socket}.get, pid, slog.New(slog.DiscardHandler))
		if n != nil || err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") || !strings.Contains(err.Error(), socket) {
			t.Errorf("NOTIFY_SOCKET=%s: %v", socket, err)
		}
	}
}

func TestWithoutAServiceManagerNothingIsTold(t *testing.T) {
	n, err := sdnotify.New(environment{"WATCHDOG_USEC": "1"}.get, pid, slog.New(slog.DiscardHandler))
	if n != nil || err != nil {
		t.Fatalf("got %v, %v", n, err)
	}
	n.Ready()
	n.Status("ready")
	if n.Watchdog() != 0 {
		t.Error("there is a watchdog without a service manager")
	}
}

func TestAManagerThatIsAwayIsOneWarningUntilItAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	var log bytes.Buffer
	n := notifier(t, environment{"NOTIFY_SOCKET": socket}, &log)
	n.Alive()
	n.Alive()
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || !strings.Contains(log.String(), socket) {
		t.Errorf("%d warnings, want one that names the socket:\n%s", got, log.String())
	}
	conn := manager(t, socket)
	n.Alive()
	receive(t, conn)
	conn.Close()
	n.Alive()
	if got := strings.Count(log.String(), "level=WARN"); got != 2 {
		t.Errorf("%d warnings after it went away again, want 2:\n%s", got, log.String())
	}
}

func TestAManagerThatDoesNotReadHoldsNobodyForLong(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager(t, socket)
	var log bytes.Buffer
	n := notifier(t, environment{"NOTIFY_SOCKET": socket}, &log)
	for range 100_000 { // more than any queue holds
		begun := time.Now()
		n.Alive()
		if took := time.Since(begun); took > 10*time.Second {
			t.Fatalf("a message took %v", took)
		}
		if log.Len() > 0 {
			return
		}
	}
	t.Error("the queue never filled")
}
