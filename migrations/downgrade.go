package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// A Loss is data that a downgrade takes away.
type Loss struct {
	Table  string `json:"table"`
	Column string `json:"column,omitempty"` // empty: whole rows
	Count  int64  `json:"count"`
	What   string `json:"what"` // what is counted: rows, values, or workers at work
}

func (l Loss) String() string {
	place := l.Table
	if l.Column != "" {
		place += "." + l.Column
	}
	return place + ": " + l.amount()
}

// amount is what is lost as a number with its noun.
func (l Loss) amount() string {
	one := map[string]string{lostRows: "row", lostValues: "value", atWork: "worker at work"}[l.What]
	return count(int(l.Count), one, l.What)
}

// what names what is lost, without a number.
func (l Loss) what() string {
	if l.Column != "" {
		return fmt.Sprintf("%s of %s.%s", l.What, l.Table, l.Column)
	}
	if l.What == atWork {
		return "the work of " + l.What
	}
	return l.What + " of " + l.Table
}

// What can be lost. Of replicas that a downgrade cuts off it is their work.
const (
	lostRows   = "rows"
	lostValues = "values"
	atWork     = "workers at work"
)

// An Overflow is a column whose values do not fit into the narrower one of an older revision.
type Overflow struct {
	Table  string
	Column string
	Type   string // of the older revision
	Least  int64
	Most   int64
	Rows   int64 // with values that do not fit
}

// Downgrade takes the database down to a target: base, -n or a revision (an unambiguous beginning of one is enough). It
// adopts first, as Upgrade does. Values that would not fit are a *RangeError, and data that would be lost is a *LossError
// unless o.Yes; both before anything is written. The database must not be declared ready below the head: Report.Head
// tells. The caller holds the initialisation lock, as for Prepare.
func Downgrade(ctx context.Context, db *sql.DB, o Options, target string) (Report, error) {
	started := time.Now()
	j, err := newJob(db, o)
	if err != nil {
		return Report{}, err
	}
	f, p, to, err := j.aim(ctx, CommandDowngrade, target)
	if err != nil {
		return Report{}, err
	}
	r := j.report(p)
	losses, err := j.foreseeLosses(ctx, f.catalogue, p.applied, to)
	if err != nil {
		return r, err
	}
	if err := j.adopt(ctx, f, p, &r); err != nil {
		return r, err
	}
	r.Reverted, err = j.revert(ctx, p.applied, to)
	r.To = j.id(p.applied - len(r.Reverted))
	r.Head = err == nil && j.isHead(to)
	if len(r.Reverted) > 0 {
		r.Lost = append(r.Lost, losses...)
	}
	if err != nil {
		return r, err
	}
	r.Took = time.Since(started)
	j.Logger.InfoContext(ctx, "database taken down", "from", r.From, "to", orBase(r.To), "adopted", r.Adopted, "reverted", r.Reverted,
		"took", r.Took.Round(time.Millisecond))
	return r, nil
}

// foreseeLosses counts what the way down takes away, and refuses it where it must not be or nobody allowed it.
func (j *job) foreseeLosses(ctx context.Context, c catalogue, from, to int) ([]Loss, error) {
	j.progress("looking for what would be lost")
	losses, overflows := []Loss{}, []Overflow{}
	for _, p := range j.set.probes(c, from, to) {
		var n int64
		if err := j.db.QueryRowContext(ctx, "SELECT "+p.count).Scan(&n); err != nil {
			return nil, fmt.Errorf("count what a downgrade would take from %s: %w", p.loss.Table, err)
		}
		switch {
		case n == 0:
		case p.overflow != nil:
			p.overflow.Rows = n
			overflows = append(overflows, *p.overflow)
		default:
			p.loss.Count = n
			losses = append(losses, p.loss)
		}
	}
	if len(overflows) > 0 {
		return nil, &RangeError{j.id(to), overflows}
	}
	if len(losses) > 0 && !j.Yes {
		return nil, &LossError{j.id(from), j.id(to), losses}
	}
	return losses, nil
}

// A probe counts something that a downgrade takes away, or what keeps it from being made.
type probe struct {
	count    string // an SQL expression
	loss     Loss
	overflow *Overflow // instead of a loss
}

// made says of columns which expression the way up gives their values by, where that is not the default: a value that
// comes back by itself is not lost.
var made = map[string]string{guardedTable + ".opening_balance": "balance"}

// probes are what to count before a downgrade, by what the golden catalogues of the two places have and the database has
// too: rows of tables that go, values other than the default in columns that go, values beyond the range of columns that
// become narrower. Of the replicas only those at work count.
func (s *set) probes(c catalogue, from, to int) []probe {
	had, _ := s.golden(from)
	keeps, _ := s.golden(to)
	var all []probe
	for _, name := range s.tables() {
		t, ok := had[name]
		found, exists := c[name]
		if !ok || !exists {
			continue
		}
		older, stays := keeps[name]
		if !stays {
			all = append(all, s.probeTable(name))
			continue
		}
		for _, col := range t.Columns {
			if _, exists := found.column(col.Name); !exists {
				continue
			}
			if narrow, stays := older.column(col.Name); stays {
				all = append(all, narrowing(name, col, narrow)...)
			} else {
				all = append(all, s.probeColumn(name, col))
			}
		}
	}
	return all
}

func (s *set) probeTable(name string) probe {
	loss, which := Loss{Table: name, What: lostRows}, ""
	switch name {
	case replicaTable:
		loss.What, which = atWork, " WHERE seen_at > now() - interval '30 seconds'"
		if s.dialect == storage.SQLite {
			which = " WHERE seen_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '-30 seconds')"
		}
	case cursorTable:
		which = " WHERE position <> 0" // a worker makes the others anew when it starts
	case currencyTable:
		codes := builtInSeed().sorted()
		quoted := make([]string, len(codes))
		for i, c := range codes {
			quoted[i] = quote(c.Code)
		}
		which = fmt.Sprintf(" WHERE currency_rate IS NOT NULL OR refresh_time IS NOT NULL OR currency_code NOT IN (%s)", strings.Join(quoted, ", "))
	}
	return probe{fmt.Sprintf("(SELECT count(*) FROM %s%s)", name, which), loss, nil}
}

// Tables of which not every row is lost: safebox_replica has one for each worker, which it writes every few seconds; and the
// seed fills currencyrate again with currencies that nobody has quoted.
const (
	replicaTable  = "safebox_replica"
	cursorTable   = "event_cursor"
	currencyTable = "currencyrate"
)

func (s *set) probeColumn(name string, col column) probe {
	differs := "IS DISTINCT FROM"
	if s.dialect == storage.SQLite {
		differs = "IS NOT"
	}
	initial := col.Default
	if initial == "" {
		initial = "NULL"
	}
	count := fmt.Sprintf("(SELECT count(*) FROM %s WHERE %s %s %s", name, col.Name, differs, initial)
	if again, ok := made[name+"."+col.Name]; ok {
		count += fmt.Sprintf(" AND %s %s %s", col.Name, differs, again)
	}
	return probe{count + ")", Loss{Table: name, Column: col.Name, What: lostValues}, nil}
}

// widths is the range of PostgreSQL's integer types. SQLite has one for all.
var widths = map[string][2]int64{
	"smallint": {math.MinInt16, math.MaxInt16}, "integer": {math.MinInt32, math.MaxInt32}, "bigint": {math.MinInt64, math.MaxInt64},
}

func narrowing(name string, from, to column) []probe {
	wide, narrow := widths[strings.ToLower(from.Type)], widths[strings.ToLower(to.Type)]
	if narrow[1] == 0 || wide[1] <= narrow[1] {
		return nil
	}
	return []probe{{
		fmt.Sprintf("(SELECT count(*) FROM %s WHERE %s NOT BETWEEN %d AND %d)", name, from.Name, narrow[0], narrow[1]),
		Loss{Table: name, Column: from.Name},
		&Overflow{Table: name, Column: from.Name, Type: to.Type, Least: narrow[0], Most: narrow[1]},
	}}
}
