package bus_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == restartCommand {
		if err := askForRestart(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dbtest.Main(m)
}

// restartCommand is the first argument of a process of this test that asks its parent to restart the server: Watermill's suite
// restarts by a command, and the server is a child of the test.
const restartCommand = "restart-the-server"

// restarts serves askForRestart until the test ends, and counts the restarts.
func restarts(t *testing.T, server *dbtest.PostgreSQLServer) (address string, done *atomic.Int32) {
	t.Helper()
	address, done = filepath.Join(t.TempDir(), "restart"), &atomic.Int32{}
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			server.Stop(dbtest.Fast)
			answer := "restarted"
			if err := server.Start(); err != nil {
				answer = err.Error()
			}
			done.Add(1)
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return address, done
}

// askForRestart returns when the server is back.
func askForRestart(address string) error {
	c, err := net.Dial("unix", address)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(answer)); text != "restarted" {
		return fmt.Errorf("the server was not restarted: %s", text)
	}
	return nil
}
