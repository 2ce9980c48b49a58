package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/safebox/safebox/storage"
)

func adhoc(text string) storage.Query { return storage.Query{Name: "adhoc " + text, SQL: text} }

func fresh(t *testing.T, o storage.Options) *DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "database.db"), o)
}

func quick(timeout time.Duration) storage.Options {
	return storage.Options{Policy: storage.Pool{Size: 2, Recycle: -1, Timeout: timeout}}
}

func TestErrorsOfSQLiteHaveTheirClasses(t *testing.T) {
	db := fresh(t, storage.Options{})
	run(t, db, `CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE child (id INTEGER PRIMARY KEY, handle TEXT UNIQUE, n INTEGER NOT NULL CHECK (n > 0), parent INTEGER REFERENCES parent)`,
		`INSERT INTO child VALUES (1, 'hunter2', 1, NULL)`)
	for _, c := range []struct {
		name, sql string
		args      []any
		want      storage.Class
	}{
		{"a value that must be unique", `INSERT INTO child VALUES (?, ?, 1, NULL)`, []any{2, "hunter2"}, storage.Unique},
		{"a primary key", `INSERT INTO child VALUES (?, ?, 1, NULL)`, []any{1, "hunter2x"}, storage.Unique},
		{"a check", `INSERT INTO child VALUES (2, ?, -5, NULL)`, []any{"hunter2x"}, storage.Check},
		{"a missing value", `INSERT INTO child VALUES (2, ?, NULL, NULL)`, []any{"hunter2x"}, storage.NotNull},
		{"a foreign key", `INSERT INTO child VALUES (2, ?, 1, 77)`, []any{"hunter2x"}, storage.ForeignKey},
		{"a mistake", `SELEC 1`, nil, storage.Other},
		{"a table that is not there", `DELETE FROM nowhere`, nil, storage.Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := begin(t, db)
			_, err := tx.exec(t.Context(), adhoc(c.sql), c.args...)
			wantClass(t, err, c.want)
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "hunter2") {
				t.Errorf("the error shows a value: %v", err)
			}
			if _, err := tx.exec(t.Context(), adhoc(`UPDATE child SET n = 2 WHERE id = 1`)); err != nil {
				t.Errorf("the transaction does not go on: %v", err)
			}
		})
	}
	t.Run("a write by a reader", func(t *testing.T) {
		rows, err := db.query(t.Context(), adhoc(`DELETE FROM child RETURNING id`))
		if err == nil {
			err = rows.each([]any{new(int)}, func() error { return nil })
		}
		wantClass(t, err, storage.ReadOnly)
	})
	t.Run("a value that does not fit", func(t *testing.T) {
		var n int
		err := db.queryRow(t.Context(), adhoc(`SELECT handle FROM child`), nil, &n)
		wantClass(t, err, storage.Other)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows a value: %v", err)
		}
	})
}

func TestErrorsThatAreHardToBringAboutHaveTheirClasses(t *testing.T) {
	for err, want := range map[error]storage.Class{
		error(sqlite3.FULL):                     storage.DiskFull,
		error(sqlite3.LOCKED):                   storage.Busy,
		error(sqlite3.BUSY_SNAPSHOT):            storage.Busy,
		error(sqlite3.INTERRUPT):                storage.Canceled,
		error(sqlite3.READONLY_DBMOVED):         storage.ReadOnly,
		error(sqlite3.IOERR):                    storage.Connection,
		error(sqlite3.CANTOPEN):                 storage.Connection,
		error(sqlite3.CORRUPT):                  storage.Other,
		error(syscall.ENOSPC):                   storage.DiskFull,
		error(sql.ErrConnDone):                  storage.Connection,
		fmt.Errorf("x: %w", context.Canceled):   storage.Canceled,
		errors.New("something else altogether"): storage.Other,
	} {
		wantClass(t, wrap("probe", err), want)
	}
	if wrap("probe", nil) != nil {
		t.Error("no error was wrapped into one")
	}
}

func TestAnotherProcessesWriteLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "database.db")
	mine, other := open(t, path, quick(time.Second)), open(t, path, quick(time.Minute))
	run(t, mine, `CREATE TABLE here (n int)`)

	held := begin(t, other)
	_, err := mine.write(t.Context())
	wantClass(t, err, storage.Busy)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = mine.write(ctx)
	wantClass(t, err, storage.Canceled)

	held.rollback()
	run(t, mine, `INSERT INTO here VALUES (1)`)
}

func TestTheWriterHasOneTransactionAtATime(t *testing.T) {
	o := &recorder{}
	options := quick(100 * time.Millisecond)
	options.Observer = o
	db := fresh(t, options)
	tx := begin(t, db)
	_, err := db.write(t.Context())
	var timeout *storage.PoolTimeoutError
	if !errors.As(err, &timeout) || timeout.InUse != 1 || timeout.Max != 1 {
		t.Errorf("got %v", err)
	}
	if s := db.Pool(); s.InUse != 1 || s.Max != 3 || s.Timeouts != 1 || o.timeouts != 1 {
		t.Errorf("the pool says %+v, the observer heard of %d", s, o.timeouts)
	}
	tx.rollback()
	if s := db.Pool(); s.InUse != 0 {
		t.Errorf("the pool says %+v", s)
	}
}

func TestATransactionIsThereWhollyOrNotAtAll(t *testing.T) {
	db := fresh(t, storage.Options{})
	run(t, db, `CREATE TABLE here (n INTEGER PRIMARY KEY)`)

	tx := begin(t, db)
	execute(t, tx, `INSERT INTO here VALUES (1)`)
	if n := count(t, db, "here"); n != 0 {
		t.Errorf("a reader saw %d rows before the commit", n)
	}
	tx.rollback()
	tx.rollback()
	if err := tx.commit(t.Context()); err == nil {
		t.Error("a transaction was committed after its rollback")
	}
	if n := count(t, db, "here"); n != 0 {
		t.Errorf("%d rows after a rollback", n)
	}

	tx = begin(t, db)
	execute(t, tx, `INSERT INTO here VALUES (1)`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantClass(t, tx.commit(ctx), storage.Canceled)
	if n := count(t, db, "here"); n != 0 {
		t.Errorf("%d rows after a commit that failed", n)
	}
}

func TestAfterAnInterruptNothingOfTheTransactionRunsOnItsOwn(t *testing.T) {
	db := fresh(t, storage.Options{})
	run(t, db, `CREATE TABLE here (n INTEGER)`)
	tx := begin(t, db)
	execute(t, tx, `INSERT INTO here VALUES (1)`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := tx.exec(ctx, adhoc(`INSERT INTO here WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT n FROM c`))
	wantClass(t, err, storage.Canceled)
	_, after := tx.exec(t.Context(), adhoc(`INSERT INTO here VALUES (2)`))
	committed := tx.commit(t.Context())
	if (after == nil) != (committed == nil) {
		t.Errorf("the next statement: %v; the commit: %v", after, committed)
	}
	if n := count(t, db, "here"); n != 0 && committed != nil {
		t.Errorf("%d rows are there", n)
	}
	run(t, db, `INSERT INTO here VALUES (3)`)
}

func TestASnapshotSeesOneMoment(t *testing.T) {
	db := fresh(t, storage.Options{Policy: storage.Pool{Size: 1, Recycle: -1, Timeout: 10 * time.Second}})
	run(t, db, `CREATE TABLE here (n INTEGER)`)
	err := db.snapshot(t.Context(), func(on runner) error {
		var first, second int
		if err := db.queryRowOn(t.Context(), on, adhoc(`SELECT count(*) FROM here`), nil, &first); err != nil {
			return err
		}
		run(t, db, `INSERT INTO here VALUES (1)`)
		if err := db.queryRowOn(t.Context(), on, adhoc(`SELECT count(*) FROM here`), nil, &second); err != nil {
			return err
		}
		if first != second {
			t.Errorf("saw %d rows, and then %d", first, second)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "here"); n != 1 {
		t.Errorf("%d rows after the snapshot", n)
	}
}

func TestTheDataVersionTellsOfChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "database.db")
	mine, other := open(t, path, storage.Options{}), open(t, path, storage.Options{})
	run(t, other, `CREATE TABLE here (n INTEGER)`)
	version := func() int64 {
		v, err := mine.dataVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := version()
	if again := version(); again != first {
		t.Errorf("nothing changed, but the version did: %d, %d", first, again)
	}
	run(t, other, `INSERT INTO here VALUES (1)`)
	second := version()
	if second == first {
		t.Error("another handle's commit was not seen")
	}
	run(t, mine, `INSERT INTO here VALUES (1)`)
	if version() == second {
		t.Error("this handle's commit was not seen")
	}
}

func TestCloseLeavesATransactionThatIsStillOpenUndone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "database.db")
	db := open(t, path, storage.Options{})
	run(t, db, `CREATE TABLE here (n INTEGER)`)
	tx := begin(t, db)
	execute(t, tx, `INSERT INTO here VALUES (1)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tx.commit(t.Context()); err == nil {
		t.Error("the transaction was committed after the handle was closed")
	}
	again := open(t, path, storage.Options{})
	if n := count(t, again, "here"); n != 0 {
		t.Errorf("%d rows are there", n)
	}
}

func BenchmarkInsertInATransaction(b *testing.B) {
	db, err := Open(b.Context(), storage.Options{URL: storage.URL{Dialect: storage.SQLite, Path: filepath.Join(b.TempDir(), "database.db")}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	tx, err := db.write(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer tx.rollback()
	if _, err := tx.exec(b.Context(), adhoc(`CREATE TABLE here (n INTEGER PRIMARY KEY, t TEXT)`)); err != nil {
		b.Fatal(err)
	}
	insert := adhoc(`INSERT INTO here VALUES (?, ?)`)
	n := 0
	for b.Loop() {
		n++
		if _, err := tx.exec(b.Context(), insert, n, "some text"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func begin(t *testing.T, db *DB) *transaction {
	t.Helper()
	tx, err := db.write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.rollback)
	return tx
}

func execute(t *testing.T, tx *transaction, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := tx.exec(t.Context(), adhoc(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func wantClass(t *testing.T, err error, want storage.Class) {
	t.Helper()
	if got := storage.ClassOf(err); got != want {
		t.Errorf("got class %q, want %q: %v", got, want, err)
	}
}

// recorder is an observer that counts timeouts.
type recorder struct {
	mu       sync.Mutex
	timeouts int
}

func (*recorder) Statement(context.Context, string, time.Duration, storage.Class) {}

func (r *recorder) Acquire(_ time.Duration, timedOut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if timedOut {
		r.timeouts++
	}
}
