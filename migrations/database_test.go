package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

// onBoth runs a test on an empty database of each dialect, through one connection as the lock's holder has it.
func onBoth(t *testing.T, test func(t *testing.T, d storage.Dialect, open func() *sql.DB)) {
	t.Helper()
	for _, d := range []storage.Dialect{storage.PostgreSQL, storage.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			test(t, d, place(t, d))
		})
	}
}

// place makes a database; the function it returns opens one connection to it.
func place(t *testing.T, d storage.Dialect) func() *sql.DB {
	t.Helper()
	_, open := named(t, d)
	return open
}

// named is place that also tells what psql or sqlite3 call the database.
func named(t *testing.T, d storage.Dialect) (name string, open func() *sql.DB) {
	t.Helper()
	driver, dsn := "pgx", ""
	if d == storage.SQLite {
		driver = "sqlite3"
		name = filepath.Join(t.TempDir(), "safebox.db")
		dsn = lite(name)
	} else {
		name = dbtest.PostgreSQL(t)
		dsn = name
	}
	return name, func() *sql.DB {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
}

// lite is the address of a file for SQLite's driver.
func lite(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=foreign_keys(on)&_txlock=immediate"
}

func options(d storage.Dialect) Options {
	return Options{Dialect: d, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// alembic makes the database what Alembic makes of it at a revision, rows included.
func alembic(t *testing.T, db *sql.DB, d storage.Dialect, revision string) {
	t.Helper()
	for _, id := range []string{"20260220_0001", "20260310_0002", "20260416_0003"} {
		if id > revision {
			break
		}
		execFile(t, db, filepath.Join("testdata", string(d), id+".sql"))
		if id == "20260220_0001" {
			execFile(t, db, filepath.Join("testdata", "rows.sql"))
		}
	}
	exec(t, db, "INSERT INTO alembic_version (version_num) VALUES ('"+revision+"')")
}

func execFile(t *testing.T, db *sql.DB, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range strings.Split(string(content), ";\n") {
		if strings.TrimSpace(statement) != "" {
			exec(t, db, statement)
		}
	}
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// hold begins a transaction with the statements and keeps it open until it is told to end.
func hold(t *testing.T, db *sql.DB, level sql.IsolationLevel, statements ...string) (commit func()) {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // of a test that failed
	for _, s := range statements {
		if _, err := tx.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return func() {
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
}

// query reads a statement's rows, each as one line of text.
func query(t *testing.T, db *sql.DB, statement string) []string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = fmt.Sprint(v)
		}
		lines = append(lines, strings.Join(parts, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// one is a statement's only value.
func one(t *testing.T, db *sql.DB, statement string) string {
	t.Helper()
	lines := query(t, db, statement)
	if len(lines) != 1 {
		t.Fatalf("%s: %d rows where one is expected: %q", statement, len(lines), lines)
	}
	return lines[0]
}

// describe is the schema in the database's own words: columns in order with types, nullability and defaults,
// constraints and indexes by name with their definitions.
func describe(t *testing.T, db *sql.DB, d storage.Dialect) []string {
	t.Helper()
	var all []string
	if d == storage.PostgreSQL {
		all = append(all, query(t, db, `SELECT 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
			coalesce(pg_get_expr(f.adbin, f.adrelid), '') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
			WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'`)...)
		all = append(all, query(t, db, `SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)
			FROM pg_constraint WHERE connamespace = current_schema()::regnamespace`)...)
		all = append(all, query(t, db, `SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = current_schema()`)...)
		all = append(all, query(t, db, `SELECT 'sequence', sequencename, data_type FROM pg_sequences WHERE schemaname = current_schema()`)...)
	} else {
		all = append(all, query(t, db, `SELECT 'column', m.name, p.cid, p.name, p.type, p."notnull", coalesce(p.dflt_value, ''), p.pk
			FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'`)...)
		all = append(all, query(t, db, `SELECT 'index', m.name, l.name, l."unique", l.origin, l.partial, group_concat(x.name), coalesce(s.sql, '')
			FROM sqlite_master m JOIN pragma_index_list(m.name) l JOIN pragma_index_info(l.name) x
			LEFT JOIN sqlite_master s ON s.type = 'index' AND s.name = l.name WHERE m.type = 'table' GROUP BY m.name, l.name`)...)
	}
	kept := all[:0]
	for _, line := range all {
		if !strings.Contains(line, recordsTable) && !strings.Contains(line, checksumTable) && !strings.Contains(line, stepTable) {
			kept = append(kept, line)
		}
	}
	sort.Strings(kept)
	return kept
}

// contents is every row of every table.
func contents(t *testing.T, db *sql.DB, d storage.Dialect) []string {
	t.Helper()
	c, err := readCatalogue(context.Background(), db, d)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for name := range c {
		for _, line := range query(t, db, "SELECT * FROM "+name) {
			all = append(all, name+" | "+line)
		}
	}
	sort.Strings(all)
	return all
}
