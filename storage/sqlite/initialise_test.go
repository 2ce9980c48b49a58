package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// replica opens the database as a process of its own does.
func replica(tb testing.TB, url string) *DB {
	tb.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := Open(initContext(tb), storage.Options{
		URL: u, Direct: u, Policy: storage.DefaultPool, Role: "test", Instance: "me",
		Logger: slog.New(slog.DiscardHandler), Observer: deaf{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

type deaf struct{}

func (deaf) Statement(context.Context, string, time.Duration, storage.Class) {}
func (deaf) Acquire(time.Duration, bool)                                     {}

func initContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

var initOptions = initlock.Options{Digest: "d", Revision: "r1", OldestCompatible: "r1"}

func TestTheLockPassesTheSuite(t *testing.T) {
	locktest.Run(t, func(tb testing.TB) locktest.Backend {
		url := dbtest.SQLite(tb)
		return locktest.Backend{
			Open: func(tb testing.TB) (initlock.Locker, initlock.Marker) {
				db := replica(tb, url)
				return locker{db}, db.Marker()
			},
			// A process that dies leaves the text in the file and the file unlocked.
			Kill: func(tb testing.TB, l initlock.Lease) {
				if err := l.(*lease).file.free(); err != nil {
					tb.Fatal(err)
				}
			},
		}
	})
}

// A process of its own that leads, says so, and works until it is killed.
const childURL = "SAFEBOX_TEST_CHILD_URL"

func childLeads(url string) {
	u, err := storage.ParseURL(url)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	db, err := Open(ctx, storage.Options{URL: u, Direct: u, Policy: storage.DefaultPool, Instance: "child", Logger: slog.Default(), Observer: deaf{}})
	if err != nil {
		panic(err)
	}
	_, err = db.Initialise(ctx, initOptions, func(ctx context.Context, session *sql.DB) error {
		if _, err := session.ExecContext(ctx, "CREATE TABLE half (n int)"); err != nil {
			return err
		}
		initlock.Note(ctx, "halfway")
		tx, err := session.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // never reached
		if _, err := tx.ExecContext(ctx, "CREATE TABLE uncommitted (n int)"); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString("leading\n"); err != nil {
			return err
		}
		select {} // until it is killed
	})
	panic(err)
}

func TestAKilledProcessIsReplaced(t *testing.T) {
	url := dbtest.SQLite(t)
	child := exec.CommandContext(initContext(t), os.Args[0])
	child.Env = append(os.Environ(), childURL+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("leading\n"))
	if _, err := out.Read(said); err != nil || string(said) != "leading\n" {
		t.Fatalf("the child said %q, %v", said, err)
	}
	db := replica(t, url)
	h, held, err := locker{db}.Holder(initContext(t))
	if err != nil || !held || !strings.HasPrefix(h.Name, "child (process ") || h.Activity != "halfway" {
		t.Errorf("holder %+v, %t, %v", h, held, err)
	}
	if _, err := (locker{db}).TryLock(initContext(t), "me"); !errors.Is(err, initlock.ErrLocked) {
		t.Errorf("a lock of another process: %v", err)
	}
	w := locktest.NewWatcher()
	ended := make(chan error, 1)
	go func() {
		o := initOptions
		o.Observer = w
		res, err := db.Initialise(initContext(t), o, func(ctx context.Context, session *sql.DB) error {
			_, err := session.ExecContext(ctx, "CREATE TABLE uncommitted (n int); DROP TABLE half")
			return err
		})
		if err == nil && (res.Outcome != initlock.OutcomeLed || res.Record.Epoch != 2) {
			err = errors.New("it did not take over, but " + string(res.Outcome))
		}
		ended <- err
	}()
	<-w.Waiting
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended well")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(db.path + lockSuffix); err != nil || len(text) > 0 {
		t.Errorf("the lock file says %q, %v; want nothing after the release", text, err)
	}
}

func TestALeaderKeepsTheLockThoughItsFileIsRemovedOrReplaced(t *testing.T) {
	for name, tamper := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			url := dbtest.SQLite(t)
			one, two := replica(t, url), replica(t, url)
			res, err := one.Initialise(initContext(t), initOptions, func(ctx context.Context, _ *sql.DB) error {
				if err := tamper(one.path + lockSuffix); err != nil {
					return err
				}
				if _, err := (locker{two}).TryLock(ctx, "two"); !errors.Is(err, initlock.ErrLocked) {
					t.Errorf("another process took the lock: %v", err)
				}
				return nil
			})
			if err != nil || res.Outcome != initlock.OutcomeLed {
				t.Errorf("%+v, %v", res, err)
			}
			lease, err := locker{two}.TryLock(initContext(t), "two")
			if err != nil {
				t.Fatalf("after the release: %v", err)
			}
			if err := lease.Release(initContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestALockFileThatCannotBeMadeIsAnErrorOfConfiguration(t *testing.T) {
	db := replica(t, dbtest.SQLite(t))
	if err := os.Mkdir(db.path+lockSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	db.path = filepath.Join(db.path+lockSuffix, "missing", "database.db")
	if _, err := (locker{db}).TryLock(initContext(t), "me"); !errors.Is(err, storage.ErrConfig) {
		t.Errorf("%v; want ErrConfig", err)
	}
}

func TestNetworkFileSystemsAreConfigurationErrors(t *testing.T) {
	for magic, kind := range networkFileSystems {
		err := error(&NetworkFileSystemError{Path: "/data/database.db", Kind: kind})
		if !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), "/data/database.db") {
			t.Errorf("%#x: %v", magic, err)
		}
	}
	if err := refuseNetwork(filepath.Join(t.TempDir(), "database.db")); err != nil {
		t.Errorf("a local folder: %v", err)
	}
}

func TestInspectRefusesToWrite(t *testing.T) {
	db := replica(t, dbtest.SQLite(t))
	err := db.Inspect(initContext(t), func(ctx context.Context, session *sql.DB) error {
		var n int
		if err := session.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			t.Error(err)
		}
		_, err := session.ExecContext(ctx, "CREATE TABLE written (n int)")
		return err
	})
	if storage.ClassOf(wrap("inspect", err)) != storage.ReadOnly {
		t.Errorf("writing: %v", err)
	}
}
