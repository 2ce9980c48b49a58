package dbtest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestTestsGetDatabasesOfTheirOwn(t *testing.T) {
	first, second := dbtest.PostgreSQL(t), dbtest.PostgreSQL(t)
	if first == second {
		t.Fatalf("two tests share %s", first)
	}
	execute(t, first, "CREATE TABLE mine (n int)")
	execute(t, second, "CREATE TABLE mine (n int)")
}

func TestACommittedRowSurvivesAKilledServer(t *testing.T) {
	s := dbtest.Server(t, dbtest.Options{Fsync: true})
	url := s.Database(t)
	execute(t, url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	conn := connect(t, url)
	var n int
	if err := conn.QueryRow(context.Background(), "SELECT n FROM kept").Scan(&n); err != nil || n != 7 {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestAStoppedServerLeavesNoFiles(t *testing.T) {
	var dir string
	t.Run("a test with a server", func(t *testing.T) {
		s := dbtest.Server(t, dbtest.Options{})
		dir = s.SocketDir()
		s.Restart(t)
		execute(t, s.URL(""), "SELECT 1")
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestEachRunsOnBothDialects(t *testing.T) {
	var seen []string
	dbtest.Each(t, func(t *testing.T, url string) { seen = append(seen, filepath.Base(t.Name())+" "+url[:6]) })
	if len(seen) != 2 || seen[0] != "sqlite sqlite" || seen[1] != "postgresql postgr" {
		t.Errorf("saw %q", seen)
	}
}

func TestADatabaseIsFilledOnceAndThenCopied(t *testing.T) {
	fills := 0
	fill := func(url string) error {
		fills++
		if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
			return os.WriteFile(path, []byte("filled"), 0o600)
		}
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(context.Background(), "CREATE TABLE filled (n int)")
		return errors.Join(err, conn.Close(context.Background()))
	}
	for name, empty := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgresql": dbtest.PostgreSQL} {
		fills = 0
		for range 2 {
			url := empty(t)
			if !dbtest.Fill(t, url, "probe", fill) {
				t.Fatalf("%s was not filled", url)
			}
			if name == "postgresql" {
				execute(t, url, "INSERT INTO filled VALUES (1)")
			}
			if dbtest.Fill(t, url, "probe", fill) {
				t.Errorf("%s was filled again", url)
			}
		}
		if fills != 1 {
			t.Errorf("%s: filled %d times, want once", name, fills)
		}
	}
}

func TestOnlyANewDatabaseIsFilled(t *testing.T) {
	never := func(url string) error { return errors.New(url + " is not new") }
	url := dbtest.PostgreSQL(t)
	conn := connect(t, url)
	if dbtest.Fill(t, url, "never", never) {
		t.Error("a database that somebody is connected to was filled")
	}
	if _, err := conn.Exec(context.Background(), "CREATE TABLE mine (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if dbtest.Fill(t, url, "never", never) {
		t.Error("a database that holds something was filled")
	}
	execute(t, url, "INSERT INTO mine VALUES (1)")
	if dbtest.Fill(t, dbtest.Server(t, dbtest.Options{}).Database(t), "never", never) {
		t.Error("a database on a server of the test's own was filled")
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
