package migrations

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/safebox/safebox/storage"
)

// A Verdict says what a difference from a revision means for adopting a database at it.
type Verdict string

// From the least to the worst.
const (
	Harmless    Verdict = "harmless"    // everything works as the revision has it
	Missing     Verdict = "missing"     // the statements of Difference.Repair make it good
	Contradicts Verdict = "contradicts" // the database cannot be taken for the revision
)

// A Difference is one thing in the catalogue that is not as the revision has it.
type Difference struct {
	Table    string   `json:"table"`
	Object   string   `json:"object,omitempty"` // a column, index or constraint; empty: the table itself
	Expected string   `json:"expected"`
	Found    string   `json:"found"`
	Verdict  Verdict  `json:"verdict"`
	Why      string   `json:"why"`              // the reason for the verdict, one clause
	Repair   []string `json:"repair,omitempty"` // statements that make it good, each run outside a transaction; only with Missing
	// Duplicates is a SELECT of how many values several rows share, where Repair makes columns unique: it fails until
	// the answer is 0.
	Duplicates string `json:"duplicates,omitempty"`

	rank int // tables before columns before keys before indexes before constraints: the order in which repairs work
}

func (d Difference) String() string {
	place := "table " + d.Table
	if d.Object != "" {
		place = d.Table + "." + d.Object
	}
	return fmt.Sprintf("%s: expected %s, found %s (%s: %s)", place, d.Expected, d.Found, d.Verdict, d.Why)
}

// worst is the gravest verdict among differences, "" for none.
func worst(differences []Difference) Verdict {
	var w Verdict
	for _, d := range differences {
		w = graver(w, d.Verdict)
	}
	return w
}

func graver(a, b Verdict) Verdict {
	order := []Verdict{"", Harmless, Missing, Contradicts}
	if slices.Index(order, a) < slices.Index(order, b) {
		return b
	}
	return a
}

// core tables hold what cannot be had again: without one of them a database is not at the revision.
var core = []string{guardedTable, "event_log", "event_cursor", "ledger_entry", "parked_event"}

// history is columns whose values tell what happened to a wallet: no default stands for them.
var history = []string{guardedTable + ".opening_balance", guardedTable + ".entry_count"}

// Words of the differences.
const (
	nothing  = "nothing"
	aTable   = "a table"
	refuses  = "it can refuse rows that the revision takes"
	goesWith = "revision %s replaces the column %s, and this would go with it: drop it, and make it anew afterwards"
)

// The ranks of differences in a table.
const (
	rankTable = iota
	rankColumn
	rankKey
	rankIndex
	rankConstraint
)

// compare lists what the catalogue has otherwise than the revision at a place, -1 being before the first, in an order in
// which the repairs can be made: by table, then columns before indexes, then by name. Tables of others, the order of
// columns and storage parameters are of no account.
func (s *set) compare(c catalogue, place int) []Difference {
	want, ok := s.golden(place)
	if !ok {
		return []Difference{{
			Table: s.revisions[place].ID, Expected: "a catalogue of the revision in this build", Found: nothing,
			Verdict: Contradicts, Why: "without it nothing can be compared",
		}}
	}
	x := comparison{dialect: s.dialect, found: c}
	x.later, x.replaced = s.later(place)
	all := s.tables()
	for _, name := range all {
		found, exists := c[name]
		wanted, due := want[name]
		switch {
		case due && !exists:
			x.missingTable(name, wanted)
		case exists && !due:
			x.add(Difference{Table: name, Expected: "nothing at this revision", Found: aTable, Verdict: Contradicts, Why: s.maker(name)})
		case exists:
			t := tableComparison{comparison: &x, name: name, want: wanted, found: found}
			t.columns()
			t.primary()
			t.indexes()
			t.constraints()
		}
	}
	for name, t := range c {
		if _, due := want[name]; due || !slices.Contains(all, name) {
			x.takenNames(name, t)
		}
	}
	sort.SliceStable(x.differences, func(i, j int) bool {
		a, b := x.differences[i], x.differences[j]
		if a.Table != b.Table {
			return a.Table < b.Table
		}
		if a.rank != b.rank {
			return a.rank < b.rank
		}
		return a.Object < b.Object
	})
	return x.differences
}

// best is the place of the revision that the catalogue fits best, with what is different: the one with the fewest
// contradictions, then with the least missing, then with the fewest differences, then the newest. A catalogue without
// any table of a revision is at -1.
func (s *set) best(c catalogue) (int, []Difference) {
	if len(s.present(c)) == 0 {
		return -1, nil
	}
	place, least := -1, []Difference(nil)
	var score [3]int
	for i := range s.revisions {
		found := s.compare(c, i)
		its := weigh(found)
		if place < 0 || slices.Compare(its[:], score[:]) <= 0 {
			place, least, score = i, found, its
		}
	}
	return place, least
}

// weigh counts contradictions, what is missing, and what is harmless.
func weigh(differences []Difference) (n [3]int) {
	for _, d := range differences {
		n[slices.Index([]Verdict{Contradicts, Missing, Harmless}, d.Verdict)]++
	}
	return n
}

// maker says which revision makes a table.
func (s *set) maker(name string) string {
	for place, r := range s.revisions {
		c, _ := s.golden(place)
		if _, ok := c[name]; ok {
			return fmt.Sprintf("revision %s makes it", r.ID)
		}
	}
	return "no revision makes it"
}

// later is what revisions after a place add, and the columns that they replace on PostgreSQL, each with the first revision
// that does. The names of the added must be free, or those revisions fail; with a replaced column, what depends on it would
// go. Columns are named with their table.
func (s *set) later(place int) (added, replaced map[string]string) {
	had, _ := s.golden(place)
	added, replaced = map[string]string{}, map[string]string{}
	note := func(all map[string]string, name, revision string) {
		if _, earlier := all[name]; !earlier && name != "" {
			all[name] = revision
		}
	}
	for i := place + 1; i < len(s.revisions); i++ {
		id := s.revisions[i].ID
		c, _ := s.golden(i)
		for name, t := range c {
			before := had[name]
			if before.Primary.Name != t.Primary.Name {
				note(added, t.Primary.Name, id)
			}
			for _, col := range t.Columns {
				if old, ok := before.column(col.Name); !ok {
					note(added, name+"."+col.Name, id)
				} else if s.dialect == storage.PostgreSQL && old.Type != col.Type {
					note(replaced, name+"."+col.Name, id)
				}
			}
			for ix, x := range t.Indexes {
				if _, ok := before.Indexes[ix]; !ok && (s.dialect == storage.PostgreSQL || !x.Constraint) {
					note(added, ix, id)
				}
			}
		}
	}
	return added, replaced
}

// comparison gathers the differences of one catalogue.
type comparison struct {
	dialect     storage.Dialect
	found       catalogue
	later       map[string]string // what later revisions add, with the revision
	replaced    map[string]string // the columns that later revisions replace, with the revision
	differences []Difference
}

func (x *comparison) add(d Difference) { x.differences = append(x.differences, d) }

func (x *comparison) missingTable(name string, want table) {
	d := Difference{Table: name, Expected: aTable, Found: nothing}
	if slices.Contains(core, name) {
		d.Verdict, d.Why = Contradicts, "what it held cannot be made again"
		x.add(d)
		return
	}
	names := []string{want.Primary.Name}
	for ix, i := range want.Indexes {
		if x.dialect == storage.PostgreSQL || !i.Constraint { // SQLite's constraints have no names
			names = append(names, ix)
		}
	}
	slices.Sort(names)
	for _, ix := range names {
		if owner, taken := x.owner(ix); taken {
			d.Verdict, d.Why = Contradicts, fmt.Sprintf("its index %s cannot be made: the name is taken by something of the table %s", ix, owner)
			x.add(d)
			return
		}
	}
	d.Verdict, d.Why = Missing, "it can be made, empty"
	d.Repair = createTable(x.dialect, name, want)
	x.add(d)
}

// owner is the table that has an index, or is itself, of a name: they share one space of names.
func (x *comparison) owner(name string) (string, bool) {
	if name == "" {
		return "", false
	}
	for table, t := range x.found {
		if _, ok := t.Indexes[name]; ok || table == name || t.Primary.Name == name {
			return table, true
		}
	}
	return "", false
}

// takenNames finds the indexes of a table, which may be another's, that have a name which a later revision needs.
func (x *comparison) takenNames(name string, t table) {
	for ix, found := range t.Indexes {
		if id, taken := x.later[ix]; taken {
			x.add(Difference{
				Table: name, Object: ix, Expected: "nothing at this revision", Found: found.describe(), Verdict: Contradicts,
				Why: fmt.Sprintf("revision %s makes an index of this name", id), rank: rankIndex,
			})
		}
	}
}

// tableComparison compares one table.
type tableComparison struct {
	*comparison
	name        string
	want, found table
}

func (t *tableComparison) add(rank int, d Difference) {
	d.Table, d.rank = t.name, rank
	t.comparison.add(d)
}

func (t *tableComparison) columns() {
	for _, want := range t.want.Columns {
		found, ok := t.found.column(want.Name)
		if !ok {
			t.missingColumn(want)
			continue
		}
		d := Difference{Object: want.Name, Expected: want.describe(), Found: found.describe()}
		t.judge(want, found, &d)
		if d.Verdict != "" {
			t.add(rankColumn, d)
		}
	}
	for _, found := range t.found.Columns {
		if _, ok := t.want.column(found.Name); ok {
			continue
		}
		d := Difference{Object: found.Name, Expected: nothing, Found: found.describe(), Verdict: Harmless, Why: "rows need not give it a value"}
		if id, taken := t.later[t.name+"."+found.Name]; taken {
			d.Verdict, d.Why = Contradicts, fmt.Sprintf("revision %s makes a column of this name", id)
		} else if found.NotNull && found.Default == "" {
			d.Verdict, d.Why = Contradicts, "rows that do not give it a value are refused"
		} else if found.Default == computed {
			d.Verdict, d.Why = Contradicts, "a computed column keeps a revision from changing what it is computed from"
		}
		t.add(rankColumn, d)
	}
	if strings.Contains(t.found.Options, "STRICT") && !strings.Contains(t.want.Options, "STRICT") {
		t.add(rankTable, Difference{
			Expected: "a table that is not STRICT", Found: "a STRICT table", Verdict: Contradicts, Why: "it refuses values that the revision takes",
		})
	}
}

func (t *tableComparison) missingColumn(want column) {
	d := Difference{Object: want.Name, Expected: want.describe(), Found: nothing}
	switch {
	case slices.Contains(history, t.name+"."+want.Name):
		d.Verdict, d.Why = Contradicts, "its values tell what happened to each wallet, and nothing else does"
	case !addable(t.dialect, want):
		d.Verdict, d.Why = Contradicts, "its values cannot be invented"
	default:
		d.Verdict, d.Why = Missing, "it can be added"
		d.Repair = []string{fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", t.name, define(want))}
	}
	t.add(rankColumn, d)
}

// judge holds a column against the revision's. The gravest verdict counts, and the first reason of that weight.
func (t *tableComparison) judge(want, found column, d *Difference) {
	note := func(v Verdict, why string) {
		if graver(d.Verdict, v) != d.Verdict {
			d.Verdict, d.Why = v, why
		}
	}
	if want.Type != found.Type {
		note(typeVerdict(t.dialect, want.Type, found.Type))
	}
	switch {
	case want.NotNull && !found.NotNull:
		note(Contradicts, "it may hold nulls, which no program expects")
	case !want.NotNull && found.NotNull:
		note(Contradicts, "rows without a value are refused")
	}
	if want.Default == found.Default {
		return
	}
	switch {
	case want.Default == sequence && found.Default == identity:
		note(Harmless, "an identity numbers new rows as a sequence does")
	case want.Default == sequence || want.Default == rowid:
		note(Contradicts, "new rows get no number, or refuse the one that they bring")
	case want.Default == "" && want.NotNull && found.Default != computed && found.Default != identityAlways:
		if id, goes := t.replaced[t.name+"."+want.Name]; goes {
			note(Contradicts, fmt.Sprintf(goesWith, id, want.Name))
			break
		}
		note(Harmless, "rows always bring a value, so the default is never used")
	case found.Default == "" && t.dialect == storage.PostgreSQL:
		note(Missing, "rows without a value are refused or hold a null; the default can be set")
		if d.Verdict == Missing {
			d.Repair = []string{fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", t.name, want.Name, want.Default)}
		}
	default:
		note(Contradicts, "rows without a value get another one")
	}
}

func (t *tableComparison) primary() {
	if slices.Equal(t.want.Primary.Columns, t.found.Primary.Columns) {
		return
	}
	d := Difference{
		Object: "primary key", Expected: listColumns(t.want.Primary.Columns), Found: "no primary key", Verdict: Contradicts,
		Why: "rows are told apart by other columns",
	}
	if len(t.found.Primary.Columns) > 0 {
		d.Found = listColumns(t.found.Primary.Columns)
	}
	t.add(rankKey, d)
}

// typeVerdict tells what another type means: nothing where both hold the same values alike.
func typeVerdict(d storage.Dialect, want, found string) (Verdict, string) {
	if d == storage.PostgreSQL {
		texts := []string{"character varying", "text"}
		if slices.Contains(texts, want) && slices.Contains(texts, found) {
			return Harmless, "text and character varying without a limit hold the same"
		}
		return Contradicts, "it holds other values"
	}
	if strings.EqualFold(want, found) {
		return "", ""
	}
	if affinity(want) == affinity(found) {
		return Harmless, "SQLite gives both types the same affinity"
	}
	return Contradicts, "SQLite gives it another affinity, and stores other values"
}

// affinity is how a column of a declared type of SQLite's keeps values, after https://sqlite.org/datatype3.html#determination_of_column_affinity.
// INTEGER counts as NUMERIC, as the two differ in CAST expressions alone.
func affinity(declared string) string {
	declared = strings.ToUpper(declared)
	has := func(part string) bool { return strings.Contains(declared, part) }
	switch {
	case has("INT"):
		return "NUMERIC"
	case has("CHAR"), has("CLOB"), has("TEXT"):
		return "TEXT"
	case has("BLOB"), declared == "":
		return "BLOB"
	case has("REAL"), has("FLOA"), has("DOUB"): //nolint:misspell // SQLite looks for these four letters
		return "REAL"
	}
	return "NUMERIC"
}

// adoptable tells whether a database with these differences works as the revision has it.
func adoptable(differences []Difference) bool {
	w := worst(differences)
	return w == "" || w == Harmless
}
