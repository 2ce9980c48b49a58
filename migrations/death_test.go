package migrations

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/ncruces/go-sqlite3"
	sqlitedriver "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
)

// boundaries is a log that calls reached at every boundary of a step, "3 intent recorded" for one.
type boundaries struct {
	slog.Handler
	reached func(boundary string)
}

func (b boundaries) Enabled(context.Context, slog.Level) bool { return true }
func (b boundaries) WithAttrs([]slog.Attr) slog.Handler       { return b }

func (b boundaries) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "step" && r.Level == slog.LevelDebug {
			b.reached(a.Value.String() + " " + r.Message)
		}
		return true
	})
	return nil
}

// once is a connector that connects once, as the one of the lock's holder: a session that is cut is not replaced.
type once struct {
	driver.Connector
	notices *notices
	used    atomic.Bool
}

func (c *once) Connect(ctx context.Context) (driver.Conn, error) {
	if c.used.Swap(true) {
		return nil, errors.New("the one session is gone")
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &heard{conn.(*stdlib.Conn), c.notices}, nil
}

// heard is a connection that passes notices on, as the one of the lock's holder does.
type heard struct {
	*stdlib.Conn
	notices *notices
}

type notices struct{ hear atomic.Pointer[func(string)] }

func (h *heard) OnNotice(f func(string)) { h.notices.hear.Store(&f) }

func (n *notices) pass(_ *pgconn.PgConn, m *pgconn.Notice) {
	if f := n.hear.Load(); f != nil && *f != nil {
		(*f)(m.Message)
	}
}

// session opens the one session of a leader, and gives the number of the server's process for it.
func session(t *testing.T, url string) (db *sql.DB, pid string) {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	n := &notices{}
	c.OnNotice = n.pass
	db = sql.OpenDB(&once{Connector: stdlib.GetConnector(*c), notices: n})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db, one(t, db, "SELECT pg_backend_pid()")
}

// terminate ends a session as if its process had died, and waits until it is gone.
func terminate(t *testing.T, by *sql.DB, pid string) {
	t.Helper()
	exec(t, by, "SELECT pg_terminate_backend("+pid+")")
	soon(t, "the session is gone", func() bool {
		return one(t, by, "SELECT count(*) FROM pg_stat_activity WHERE pid = "+pid) == "0"
	})
}

// A process that changes a database of the test's own revisions until it is killed.
const (
	victimFile     = "SAFEBOX_TEST_VICTIM_FILE"     // the database
	victimAt       = "SAFEBOX_TEST_VICTIM_AT"       // the boundary at which it waits to be killed
	victimRevision = "SAFEBOX_TEST_VICTIM_REVISION" // the content of the revision
	victimDown     = "SAFEBOX_TEST_VICTIM_DOWN"     // take the revision back
)

const victimName = "20270101_0001_victim.sql"

// beVictim applies the revision, or takes it back. At its boundary it says so and stands still.
func beVictim(file string) int {
	at := os.Getenv(victimAt)
	reached := func(boundary string) {
		if boundary == at {
			fmt.Println("reached")
			select {}
		}
	}
	err := func() error {
		db, err := sqlitedriver.Open(lite(file), func(c *sqlite3.Conn) error {
			return c.CreateFunction("boundary", 1, 0, func(_ sqlite3.Context, arg ...sqlite3.Value) { reached(arg[0].Text()) })
		})
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		s, err := load(fstest.MapFS{"sqlite/" + victimName: {Data: []byte(os.Getenv(victimRevision))}}, storage.SQLite)
		if err != nil {
			return err
		}
		j := &job{Options: Options{Dialect: storage.SQLite, Logger: slog.New(boundaries{reached: reached})}, db: db, set: s}
		if err := j.keepBooks(context.Background(), nil); err != nil {
			return err
		}
		if os.Getenv(victimDown) != "" {
			_, err = j.revert(context.Background(), 0, -1)
		} else {
			_, err = j.apply(context.Background(), -1, 0)
		}
		return err
	}()
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// kill runs a victim and kills it with SIGKILL at the boundary; false when it came to its end without reaching it.
func kill(t *testing.T, file, revision, at string, down bool) (killed bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := osexec.CommandContext(t.Context(), program)
	c.Env = append(os.Environ(), victimFile+"="+file, victimAt+"="+at, victimRevision+"="+revision)
	if down {
		c.Env = append(c.Env, victimDown+"=1")
	}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the victim said nothing: %v", err)
	}
	if line = strings.TrimSpace(line); line == "reached" {
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		return true
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("the victim: %s: %v", line, err)
	}
	return false
}
