package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"sort"
	"strings"

	"github.com/safebox/safebox/storage"
)

const guardedTable = "registeredsafebox"

// guard is a column of registeredsafebox whose values, where not null, name at most one wallet.
type guard struct {
	column   string
	nullable bool // only values that are not null are held against one another
	secret   bool // the value never reaches an error, a log or a report
}

var guards = []guard{
	{column: "npub"},
	{column: "handle"},
	{column: "access_key", nullable: true, secret: true},
}

// Guards names the guards, "registeredsafebox.npub" for one.
func Guards() []string {
	names := make([]string, len(guards))
	for i, g := range guards {
		names[i] = g.name()
	}
	return names
}

func (g guard) name() string      { return guardedTable + "." + g.column }
func (g guard) indexName() string { return "uq_" + guardedTable + "_" + g.column }

// create is the statement that makes the guard's index. On PostgreSQL it has no lists of duplicates, as 20261123_0004 wants it
// of those by which batches find their wallets.
func (g guard) create(d storage.Dialect) string {
	how, with := "", ""
	if d == storage.PostgreSQL {
		how, with = "CONCURRENTLY ", " WITH (deduplicate_items = off)"
	}
	statement := fmt.Sprintf("CREATE UNIQUE INDEX %s%s ON %s (%s)%s", how, g.indexName(), guardedTable, g.column, with)
	if g.nullable {
		statement += fmt.Sprintf(" WHERE %s IS NOT NULL", g.column)
	}
	return statement
}

// satisfied tells whether an index of the catalogue proves the guard.
func (g guard) satisfied(t table) bool {
	for _, x := range t.Indexes {
		if x.proves(g.column) || g.nullable && x.provesNotNull(g.column) {
			return true
		}
	}
	return false
}

// A Violation is one value that several wallets have.
type Violation struct {
	Guard string  `json:"guard"` // one of Guards
	Value string  `json:"value"` // masked where it is a secret
	Count int     `json:"count"`
	IDs   []int64 `json:"ids"` // of the rows, in order
}

// GuardError says that values which must be unique are not. The rows are as they were.
type GuardError struct {
	Violations []Violation
	// Revision that the schema was brought to before a duplicate arrived, which the search before the work had not
	// found; "" when nothing was changed at all.
	Revision string
}

// shown is how many violations, and how many row ids of each, an error lists; the rest it counts.
const shown = 50

func (e *GuardError) Error() string {
	var b strings.Builder
	subject := count(len(e.Violations), "value that must be unique is", "values that must be unique are")
	changed := "nothing was changed"
	if e.Revision != "" {
		changed = fmt.Sprintf("the schema is at %s, and no row was changed", e.Revision)
	}
	fmt.Fprintf(&b, "%s shared by several rows of %s; %s:", subject, guardedTable, changed)
	for i, v := range e.Violations {
		if i == shown {
			fmt.Fprintf(&b, "\n  and %d more: `safebox guard --json` lists them all", len(e.Violations)-shown)
			break
		}
		fmt.Fprintf(&b, "\n  %s %q: %d rows, ids %s", v.Guard, v.Value, v.Count, listed(v.IDs))
	}
	b.WriteString("\nGive all but one of the rows another value, or delete them, then start again.")
	return b.String()
}

// ExitCode is 65: bad data.
func (*GuardError) ExitCode() int { return exitData }

func listed(ids []int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i == shown {
			fmt.Fprintf(&b, " and %d more", len(ids)-shown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, id)
	}
	return b.String()
}

// Guard looks for values that several wallets have, and writes nothing. A guard whose unique index is there costs no
// look at the rows. Without the table the error is storage.ErrNotInitialised.
func Guard(ctx context.Context, db *sql.DB, d storage.Dialect) ([]Violation, error) {
	c, err := readCatalogue(ctx, db, d)
	if err != nil {
		return nil, err
	}
	if _, ok := c[guardedTable]; !ok {
		return nil, fmt.Errorf("guards: there is no table %s: run `safebox init` first: %w", guardedTable, storage.ErrNotInitialised)
	}
	return violations(ctx, db, c)
}

// violations looks for duplicates of every guard that no index proves. It finds none where there is no table.
func violations(ctx context.Context, db *sql.DB, c catalogue) ([]Violation, error) {
	t, ok := c[guardedTable]
	if !ok {
		return nil, nil
	}
	var all []Violation
	for _, g := range guards {
		if g.satisfied(t) {
			continue
		}
		found, err := duplicates(ctx, db, g)
		if err != nil {
			return nil, fmt.Errorf("guard %s: look for duplicates: %w", g.name(), err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func duplicates(ctx context.Context, db *sql.DB, g guard) ([]Violation, error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT %[1]s, id FROM %[2]s WHERE %[1]s IN (
		SELECT %[1]s FROM %[2]s WHERE %[1]s IS NOT NULL GROUP BY %[1]s HAVING count(*) > 1) ORDER BY %[1]s, id`, g.column, guardedTable))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	byValue := map[string]*Violation{}
	var found []*Violation
	for rows.Next() {
		var value string
		var id int64
		if err := rows.Scan(&value, &id); err != nil {
			return nil, err
		}
		v, ok := byValue[value]
		if !ok {
			v = &Violation{Guard: g.name(), Value: value}
			if g.secret {
				v.Value = mask(value)
			}
			byValue[value] = v
			found = append(found, v)
		}
		v.Count++
		v.IDs = append(v.IDs, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].IDs[0] < found[j].IDs[0] })
	out := make([]Violation, len(found))
	for i, v := range found {
		out[i] = *v
	}
	return out, nil
}

// mask keeps just enough of a long secret to recognise it by, and nothing of a short one.
func mask(secret string) string {
	r := []rune(secret)
	if len(r) < 12 {
		return "***"
	}
	return string(r[:2]) + "…" + string(r[len(r)-1:])
}
