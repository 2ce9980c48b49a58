package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/safebox/safebox/storage/dbtest"
)

// pseudoTerminal is a terminal for a process, and what the process writes there.
func pseudoTerminal(t *testing.T) (terminal *os.File, written *journal) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if controlled := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); controlled != nil || err != nil {
		t.Fatal(controlled, err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	written = newJournal()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			written.Write(buf[:n]) //nolint:errcheck // it is in memory
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		terminal.Close()
		master.Close()
		<-done
	})
	return terminal, written
}

func TestStatusIsDrawnInPlaceOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, dbtest.SQLite(t))
	s.ok("init")
	terminal, written := pseudoTerminal(t)
	c := s.command(nil, "status", "--watch=100ms")
	c.Stdout, c.Stderr = terminal, terminal
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is drawn anew", func() (bool, string) {
		return strings.Count(written.text(), "\x1b[H") > 2, written.text()
	})
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("interrupted: %v\n%q", err, written.text())
	}
	if n := strings.Count(written.text(), "\x1b[2J"); n != 1 || !strings.Contains(written.text(), "ready     yes\x1b[K") {
		t.Errorf("it cleared the screen %d times:\n%q", n, written.text())
	}
}
