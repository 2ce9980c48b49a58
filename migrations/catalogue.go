package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/safebox/safebox/storage"
)

// catalogue is the tables of the database's current schema by name, as the database itself describes them.
type catalogue map[string]table

type table struct {
	columns map[string]column
	primary []string // columns of the primary key, in order
	indexes map[string]index
}

type column struct {
	kind     string // the type as the database spells it
	notNull  bool
	assigned bool // the database gives a value where a row has none: a default or an identity
}

type index struct {
	columns   []string // in order; "" stands for an expression
	unique    bool
	valid     bool   // complete, in use, and checked at once
	predicate string // of a partial index, normalised; "" for a full one
}

// proves tells whether the index makes the values of the columns unique, in whatever order it has them.
func (x index) proves(columns ...string) bool {
	return x.unique && x.valid && x.predicate == "" && sameSet(x.columns, columns)
}

// provesNotNull tells whether the index makes the values of one column unique where they are not null.
func (x index) provesNotNull(column string) bool {
	return x.unique && x.valid && x.predicate == column+" is not null" && sameSet(x.columns, []string{column})
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	seen := map[string]bool{}
	for _, s := range a {
		seen[s] = true
	}
	for _, s := range b {
		if !seen[s] {
			return false
		}
	}
	return len(seen) == len(b)
}

const (
	columnsPostgreSQL = `
		SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		       a.attidentity <> '' OR d.oid IS NOT NULL,
		       coalesce(array_position(k.indkey::int2[], a.attnum) + 1, 0)
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		LEFT JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary
		WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')
		ORDER BY c.relname, a.attnum`

	indexesPostgreSQL = `
		SELECT t.relname, i.relname, x.indisunique, x.indisvalid AND x.indisready AND x.indislive AND x.indimmediate,
		       coalesce(pg_get_expr(x.indpred, x.indrelid), ''), coalesce(a.attname, '')
		FROM pg_index x
		JOIN pg_class t ON t.oid = x.indrelid
		JOIN pg_class i ON i.oid = x.indexrelid
		CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS k (place)
		LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[k.place] AND a.attnum > 0
		WHERE t.relnamespace = to_regnamespace(quote_ident(current_schema())) AND t.relkind IN ('r', 'p')
		ORDER BY t.relname, i.relname, k.place`

	columnsSQLite = `
		SELECT m.name, p.name, p.type, p."notnull", p.dflt_value IS NOT NULL, p.pk
		FROM sqlite_master m JOIN pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
		ORDER BY m.name, p.cid`

	indexesSQLite = `
		SELECT m.name, l.name, l."unique", 1, CASE WHEN l.partial THEN coalesce(s.sql, '?') ELSE '' END, coalesce(x.name, '')
		FROM sqlite_master m
		JOIN pragma_index_list(m.name) l
		JOIN pragma_index_info(l.name) x
		LEFT JOIN sqlite_master s ON s.type = 'index' AND s.name = l.name
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
		ORDER BY m.name, l.name, x.seqno`
)

// errNoSchema says that the connection's search_path names no schema that exists.
var errNoSchema = errors.New("the search_path of the connection names no schema that exists: create the schema or correct the search_path")

func readCatalogue(ctx context.Context, db *sql.DB, d storage.Dialect) (catalogue, error) {
	columns, indexes := columnsSQLite, indexesSQLite
	if d == storage.PostgreSQL {
		columns, indexes = columnsPostgreSQL, indexesPostgreSQL
		var schema sql.NullString
		if err := db.QueryRowContext(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		if !schema.Valid {
			return nil, fmt.Errorf("read the catalogue: %w: %w", errNoSchema, storage.ErrConfig)
		}
	}
	c := catalogue{}
	if err := c.readColumns(ctx, db, columns); err != nil {
		return nil, fmt.Errorf("read the catalogue's columns: %w", err)
	}
	if err := c.readIndexes(ctx, db, indexes); err != nil {
		return nil, fmt.Errorf("read the catalogue's indexes: %w", err)
	}
	return c, nil
}

func (c catalogue) readColumns(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, col string
		var x column
		var key int
		if err := rows.Scan(&name, &col, &x.kind, &x.notNull, &x.assigned, &key); err != nil {
			return err
		}
		t, ok := c[name]
		if !ok {
			t = table{columns: map[string]column{}, indexes: map[string]index{}}
		}
		t.columns[col] = x
		for ; len(t.primary) < key; t.primary = append(t.primary, "") {
		}
		if key > 0 {
			t.primary[key-1] = col
		}
		c[name] = t
	}
	return rows.Err()
}

func (c catalogue) readIndexes(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, ix, predicate, col string
		var x index
		if err := rows.Scan(&name, &ix, &x.unique, &x.valid, &predicate, &col); err != nil {
			return err
		}
		t, ok := c[name]
		if !ok { // a table without columns
			continue
		}
		x.predicate = normalised(predicate)
		x.columns = append(t.indexes[ix].columns, col)
		t.indexes[ix] = x
	}
	return rows.Err()
}

// normalised brings a predicate, alone or as the end of a CREATE INDEX statement, to one spelling.
func normalised(predicate string) string {
	predicate = strings.Join(strings.Fields(strings.ToLower(predicate)), " ")
	if _, after, found := strings.Cut(predicate, " where "); found {
		predicate = after
	}
	return strings.TrimSpace(strings.NewReplacer("(", "", ")", "", `"`, "", "`", "", "[", "", "]", "").Replace(predicate))
}
