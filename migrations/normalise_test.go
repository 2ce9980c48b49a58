package migrations

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpressionsComeToOneSpelling(t *testing.T) {
	for _, c := range []struct {
		name string
		from func(string) string
		sql  string
		want string
	}{
		{"case, spaces and quotes", normalised, "\"Owner\"  =\n`x`\tOR [y] = 'It''s  \"A\" -- b'", "owner = x or y = 'It''s  \"A\" -- b'"},
		{"letters beyond ASCII", normalised, `"Größe" > É`, "größe > É"},
		{"comments", normalised, "a /* ' */ > -- b\n 1", "a > 1"},
		{"a quote that never ends", normalised, "a = 'B", "a = 'B"},
		{"a predicate of PostgreSQL's", predicate, "(access_key IS NOT NULL)", "access_key is not null"},
		{"a predicate of SQLite's", predicate, `CREATE INDEX x ON t ("a") where ("a"  IS NOT NULL)`, "a is not null"},
		{"parentheses that belong together", predicate, "(a) or (b)", "(a) or (b)"},
		{"a parenthesis in a literal", predicate, "(a = ')')", "a = ')'"},
		{"a default with a cast", value, "'blue'::character varying", "'blue'"},
		{"a number as text", value, "('0'::bigint)", "0"},
		{"a null", value, "NULL::character varying(20)", ""},
		{"a call", value, "CURRENT_TIMESTAMP", "current_timestamp"},
	} {
		if got := c.from(c.sql); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	create := `CREATE TABLE t (a TEXT DEFAULT 'check (x)', "check" INT, -- check (y)
		CHECK(a <> ')'), b INT CONSTRAINT c check ((b > (0))))`
	if diff := cmp.Diff([]string{"check (a <> ')')", "check (b > (0))"}, checks(create)); diff != "" {
		t.Error(diff)
	}
}

// The statements come from the database's own catalogue, whoever wrote them.
func FuzzNormalised(f *testing.F) {
	for _, seed := range []string{"CREATE TABLE t (a CHECK (a > '('))", `"`, "'", "/*", "check (", "((a)", "\x96"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if got := normalised(sql); len(got) > len(sql) {
			t.Errorf("%q grew to %q", sql, got)
		}
		if got := value(sql); len(got) > len(sql) {
			t.Errorf("%q grew to %q", sql, got)
		}
		predicate(sql)
		checks(sql)
	})
}
