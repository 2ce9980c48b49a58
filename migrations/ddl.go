package migrations

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/safebox/safebox/storage"
)

// The names in golden catalogues are plain ones of this project, which need no quotes.

func (c column) describe() string {
	s := c.Type
	if c.NotNull {
		s += " not null"
	}
	switch c.Default {
	case "":
		return s
	case sequence, identity, identityAlways, rowid, computed:
		return s + ", " + c.Default
	}
	return s + " default " + c.Default
}

func (x index) describe() string {
	var words []string
	if x.Invalid {
		words = append(words, "an invalid")
	}
	if x.Deferrable {
		words = append(words, "deferrable")
	}
	if x.Unique {
		words = append(words, "unique")
	}
	if x.Method != "" {
		words = append(words, x.Method)
	}
	if x.Constraint {
		words = append(words, "constraint")
	} else {
		words = append(words, "index")
	}
	s := strings.Join(words, " ") + " " + listColumns(x.Columns)
	if x.NullsEqual {
		s += " nulls not distinct"
	}
	if x.Predicate != "" {
		s += " where " + x.Predicate
	}
	return s
}

func (x constraint) describe() string {
	if x.NotValid {
		return x.Definition + " not valid"
	}
	return x.Definition
}

// listColumns gives columns as SQL lists them.
func listColumns(columns []string) string {
	shown := slices.Clone(columns)
	for i, c := range shown {
		if c == "" {
			shown[i] = "an expression"
		}
	}
	return "(" + strings.Join(shown, ", ") + ")"
}

// define is a column as CREATE TABLE and ADD COLUMN take it.
func define(c column) string {
	s := c.Name + " " + c.Type
	if c.NotNull {
		s += " NOT NULL"
	}
	switch c.Default {
	case "", rowid:
		return s
	case sequence:
		serial := map[string]string{"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}
		return c.Name + " " + serial[c.Type] + " NOT NULL"
	}
	return s + " DEFAULT " + c.Default
}

var constant = regexp.MustCompile(`^(-?\d+(\.\d+)?|'.*'|true|false)$`)

// addable tells whether a column can be added to a table that has rows, with a value that the column's own definition
// gives them. SQLite adds constants only.
func addable(d storage.Dialect, c column) bool {
	switch c.Default {
	case "":
		return !c.NotNull
	case sequence, rowid, identity, identityAlways, computed:
		return false
	}
	return d == storage.PostgreSQL || constant.MatchString(c.Default)
}

// createTable gives the statements that make a table and its indexes.
func createTable(d storage.Dialect, name string, t table) []string {
	var parts []string
	for _, c := range t.Columns {
		parts = append(parts, define(c))
	}
	named := func(constraint string) string {
		if d == storage.SQLite || constraint == "" {
			return ""
		}
		return "CONSTRAINT " + constraint + " "
	}
	parts = append(parts, named(t.Primary.Name)+"PRIMARY KEY "+listColumns(t.Primary.Columns))
	var indexes []string
	for _, ix := range slices.Sorted(maps.Keys(t.Indexes)) {
		if x := t.Indexes[ix]; x.Constraint {
			parts = append(parts, named(ix)+"UNIQUE "+listColumns(x.Columns))
		} else {
			indexes = append(indexes, createIndex(name, ix, x, ""))
		}
	}
	for _, o := range slices.Sorted(maps.Keys(t.Constraints)) {
		parts = append(parts, named(o)+t.Constraints[o].Definition)
	}
	create := fmt.Sprintf("CREATE TABLE %s (%s)", name, strings.Join(parts, ", "))
	switch {
	case t.Options == "":
	case d == storage.SQLite:
		create += " " + t.Options
	default:
		create += " WITH (" + t.Options + ")"
	}
	return append([]string{create}, indexes...)
}

// createIndex is the statement that makes an index; how is "" or "CONCURRENTLY ".
func createIndex(table, name string, x index, how string) string {
	unique := ""
	if x.Unique {
		unique = "UNIQUE "
	}
	s := fmt.Sprintf("CREATE %sINDEX %s%s ON %s %s", unique, how, name, table, listColumns(x.Columns))
	if x.Predicate != "" {
		s += " WHERE " + x.Predicate
	}
	return s
}

// countShared is a SELECT of how many values of the index's columns several rows have.
func countShared(table string, x index) string {
	where := make([]string, len(x.Columns))
	for i, c := range x.Columns {
		where[i] = c + " IS NOT NULL"
	}
	if x.Predicate != "" {
		where = append(where, "("+x.Predicate+")")
	}
	return fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s GROUP BY %s HAVING count(*) > 1) AS shared",
		table, strings.Join(where, " AND "), strings.Join(x.Columns, ", "))
}
