package sdnotify

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// sendTimeout bounds one message: systemd's queue may be full while it is busy.
	sendTimeout = time.Second
	// maxStatus is the longest status that is sent, in bytes: people read it on one line.
	maxStatus = 300
)

// Notifier sends to the service manager that started this process. Its methods may be called at the same time.
type Notifier struct {
	address  *net.UnixAddr
	watchdog time.Duration
	logger   *slog.Logger
	failing  atomic.Bool
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. It returns nil where there is no NOTIFY_SOCKET. Its error names
// the variable that cannot be used; what can be used works all the same.
func New(getenv func(string) string, pid int, logger *slog.Logger) (*Notifier, error) {
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil, nil
	}
	if len(socket) < 2 || socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q: expected an absolute path, or a name of the abstract namespace that begins with @", socket)
	}
	n := &Notifier{address: &net.UnixAddr{Name: socket, Net: "unixgram"}, logger: logger}
	var err error
	n.watchdog, err = watchdog(getenv, pid)
	return n, err
}

// watchdog is the time within which systemd wants a sign of life; 0: it wants none from this process.
func watchdog(getenv func(string) string, pid int) (time.Duration, error) {
	text := getenv("WATCHDOG_USEC")
	if owner := getenv("WATCHDOG_PID"); text == "" || owner != "" && owner != strconv.Itoa(pid) {
		return 0, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(1<<63-1)/int64(time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q: expected a number of microseconds", text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// Watchdog is the time within which the service manager wants each sign of life; 0: it wants none.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Extend says that the start goes on and asks for at least d more.
func (n *Notifier) Extend(d time.Duration) {
	n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Ready says that the service has started.
func (n *Notifier) Ready() { n.send("READY=1") }

// Stopping says that the service began to stop.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Alive is a sign of life.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

// Status says in one line, for people, what the service does. It holds no secret.
func (n *Notifier) Status(text string) {
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > maxStatus {
		line = strings.ToValidUTF8(line[:maxStatus], "") + "…"
	}
	n.send("STATUS=" + line)
}

// send sends one message. systemd reads every datagram whole, so there is nothing to keep open.
func (n *Notifier) send(message string) {
	if n == nil {
		return
	}
	err := n.write(message)
	switch {
	case err == nil:
		n.failing.Store(false)
	case !n.failing.Swap(true):
		n.logger.Warn("the service manager cannot be told how this process fares", "socket", n.address.Name, "error", err)
	}
}

func (n *Notifier) write(message string) error {
	conn, err := net.DialUnix("unixgram", nil, n.address)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = conn.Write([]byte(message))
	return errors.Join(err, conn.Close())
}
