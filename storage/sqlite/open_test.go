package sqlite

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
)

// open opens a handle on a file that is closed when the test ends.
func open(t *testing.T, path string, o storage.Options) *DB {
	t.Helper()
	db, err := openPath(t, path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openPath(t *testing.T, path string, o storage.Options) (*DB, error) {
	t.Helper()
	o.URL = storage.URL{Dialect: storage.SQLite, Path: path}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return Open(t.Context(), o)
}

// run runs statements in a transaction of their own.
func run(t *testing.T, db *DB, texts ...string) {
	t.Helper()
	tx, err := db.write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback()
	for _, text := range texts {
		if _, err := tx.exec(t.Context(), storage.Query{Name: text, SQL: text}); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := tx.commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *DB, table string) (n int) {
	t.Helper()
	text := "SELECT count(*) FROM " + table
	if err := db.queryRow(t.Context(), storage.Query{Name: text, SQL: text}, nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFilesWithOddNamesAreOpened(t *testing.T) {
	for _, name := range []string{"plain.db", "a b.db", "what?.db", "half#.db", "100%.db", "%20.db", "a&b=c;d.db", "über.db", "_txlock=x.db", "semi:colon.db"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "odd ?#% folder")
			db := open(t, filepath.Join(dir, name), storage.Options{})
			run(t, db, "CREATE TABLE here (n int)", "INSERT INTO here VALUES (1)")
			if n := count(t, db, "here"); n != 1 {
				t.Errorf("read %d rows", n)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), name) {
					t.Errorf("there is a file %q beside it", e.Name())
				}
			}
		})
	}
}

func TestAFolderIsMadeForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, filepath.Join(dir, "database.db"), storage.Options{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestFilesThatCannotBeUsedAreRefusedBeforeAnythingStarts(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		mustExist  bool
		want       error
		says       string
	}{
		{"a path below a file", filepath.Join(text, "database.db"), false, storage.ErrConfig, "not a directory"},
		{"a folder where nobody may write", "/proc/safebox/database.db", false, storage.ErrConfig, "cannot be written"},
		{"a file that nobody may write", "/proc/version", false, storage.ErrConfig, "/proc/version"},
		{"a folder", dir, false, storage.ErrConfig, "is not a file but a folder"},
		{"a file that is no database", text, false, storage.ErrConfig, "is not a SQLite database"},
		{"a file that is not there but must be", filepath.Join(dir, "sub", "missing.db"), true, storage.ErrUnreachable, "nothing was created"},
		{"no file at all", "", false, storage.ErrConfig, "in memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openPath(t, c.path, storage.Options{MustExist: c.mustExist})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v", err)
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("something was left behind: %v, %v", entries, err)
	}
}

func TestOpeningChangesNothingInAFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "database.db")
	first := open(t, path, storage.Options{})
	run(t, first, "CREATE TABLE here (n int)")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := open(t, path, storage.Options{MustExist: true})
	if n := count(t, second, "here"); n != 0 {
		t.Errorf("read %d rows", n)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("the file changed (%v)", err)
	}
}

func TestManyProcessesTurnTheLogOnAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "database.db")
	const n = 20
	var handles []*DB
	for range n {
		handles = append(handles, open(t, path, storage.Options{}))
	}
	errs := make(chan error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for _, db := range handles {
		group.Go(func() {
			<-start
			tx, err := db.write(t.Context())
			if err == nil {
				_, err = tx.exec(t.Context(), storage.Query{Name: "make", SQL: "CREATE TABLE IF NOT EXISTS here (n int)"})
				err = errors.Join(err, tx.commit(t.Context()))
			}
			errs <- err
		})
	}
	close(start)
	group.Wait()
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionsAreSetUp(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "database.db"), storage.Options{Policy: storage.Pool{Size: 2, Recycle: -1, Timeout: 7 * time.Second}})
	tx, err := db.write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback()
	pragma := func(read func(q storage.Query, dest any) error, name string) (value string) {
		if err := read(storage.Query{Name: name, SQL: "PRAGMA " + name}, &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	onWriter := func(q storage.Query, dest any) error { return tx.queryRow(t.Context(), q, nil, dest) }
	onReader := func(q storage.Query, dest any) error { return db.queryRow(t.Context(), q, nil, dest) }
	for _, c := range []struct {
		read func(storage.Query, any) error
		name string
		want string
	}{
		{onWriter, "journal_mode", "wal"},
		{onWriter, "synchronous", "2"},
		{onWriter, "foreign_keys", "1"},
		{onWriter, "busy_timeout", "7000"},
		{onWriter, "query_only", "0"},
		{onReader, "foreign_keys", "1"},
		{onReader, "busy_timeout", "7000"},
		{onReader, "query_only", "1"},
	} {
		if got := pragma(c.read, c.name); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
	}
}
