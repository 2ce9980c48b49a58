package faulttest

import (
	"database/sql"
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/safebox/safebox/storage"
)

// behind opens a database behind the program's back.
func behind(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		driver, dsn = "sqlite3", "file:"+(&neturl.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func dialect(url string) storage.Dialect {
	if strings.HasPrefix(url, "sqlite:") {
		return storage.SQLite
	}
	return storage.PostgreSQL
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// rows reads a statement's rows, each as one line of text.
func rows(t *testing.T, db *sql.DB, statement string) []string {
	t.Helper()
	result, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer result.Close()
	names, err := result.Columns()
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for result.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := result.Scan(into...); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(values))
		for i, v := range values {
			parts[i] = fmt.Sprint(v)
		}
		lines = append(lines, strings.Join(parts, " | "))
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// one is a statement's only value.
func one(t *testing.T, db *sql.DB, statement string) string {
	t.Helper()
	lines := rows(t, db, statement)
	if len(lines) != 1 {
		t.Fatalf("%s: %d rows where one is expected: %q", statement, len(lines), lines)
	}
	return lines[0]
}

// catalogues are the statements that tell all there is in a database, in its own words.
var catalogues = map[storage.Dialect][]string{
	storage.PostgreSQL: {
		`SELECT 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
			coalesce(pg_get_expr(f.adbin, f.adrelid), ''), coalesce(c.reloptions::text, '')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`,
		`SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace`,
		`SELECT 'index', pg_get_indexdef(indexrelid), indisvalid, indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'public'::regnamespace`,
		`SELECT 'sequence', sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'`,
	},
	storage.SQLite: {`SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema`},
}

// books are the statements that tell what the migrations and the seed recorded, but for the times.
var books = []string{
	"SELECT 'gorp_migrations', id FROM gorp_migrations",
	"SELECT 'checksum', id, sha256 FROM safebox_migration_checksum",
	"SELECT 'alembic_version', version_num FROM alembic_version",
	"SELECT 'currency', currency_code, coalesce(currency_symbol, '') FROM currencyrate",
	"SELECT 'marker', state, digest, revision, oldest_compatible, error, code FROM safebox_init",
}

// describe is everything in the database that does not depend on who made it and when.
func describe(t *testing.T, db *sql.DB, d storage.Dialect) []string {
	t.Helper()
	var all []string
	for _, q := range append(slices.Clone(catalogues[d]), books...) {
		all = append(all, rows(t, db, q)...)
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the database differs from one that nothing happened to (-fresh +this):\n%s", diff)
	}
}
