package migrations

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/safebox/safebox/storage"
)

// indexes compares indexes and unique constraints. What is as the revision has it stands for itself alone; every other
// index may stand in for what is absent, if it does the same.
func (t *tableComparison) indexes() {
	var others []string
	for name, x := range t.found.Indexes {
		if want, ok := t.want.Indexes[name]; !ok || !reflect.DeepEqual(want, x) {
			others = append(others, name)
		}
	}
	sort.Strings(others)
	used := map[string]bool{}
	for name, want := range t.want.Indexes {
		if found, ok := t.found.Indexes[name]; ok && reflect.DeepEqual(want, found) {
			continue
		}
		d := Difference{Object: name, Expected: want.describe(), Found: nothing}
		if stand := t.standIn(want, name, others); stand != "" {
			used[stand] = true
			d.Found, d.Verdict, d.Why = t.describe(stand, name), Harmless, whyStandIn(want, t.found.Indexes[stand])
			t.judgeIndex(t.found.Indexes[stand], &d)
		} else {
			if _, ok := t.found.Indexes[name]; ok {
				used[name] = true
				d.Found = t.describe(name, name)
			}
			t.absent(name, want, &d)
		}
		t.add(rankIndex, d)
	}
	for _, name := range others {
		if _, taken := t.later[name]; taken || used[name] {
			continue // it is told of already, or takenNames tells
		}
		x := t.found.Indexes[name]
		d := Difference{Object: name, Expected: nothing, Found: x.describe(), Verdict: Harmless, Why: "an index more changes no answer"}
		t.judgeIndex(x, &d)
		t.add(rankIndex, d)
	}
}

// judgeIndex turns the verdict on an index that is not the revision's own where it would do harm.
func (t *tableComparison) judgeIndex(x index, d *Difference) {
	if !t.implied(x) {
		d.Verdict, d.Why = Contradicts, refuses
		return
	}
	for _, c := range t.found.Columns {
		id, goes := t.replaced[t.name+"."+c.Name]
		if goes && (slices.Contains(x.Columns, c.Name) || mentions(x.Predicate, c.Name)) {
			d.Verdict, d.Why = Contradicts, fmt.Sprintf(goesWith, id, c.Name)
			return
		}
	}
}

// mentions tells whether a normalised predicate has a word, outside of its literals or in them.
func mentions(predicate, word string) bool {
	return slices.Contains(strings.FieldsFunc(predicate, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), word)
}

// describe gives a found index, by name where that is not the expected one.
func (t *tableComparison) describe(name, expected string) string {
	if name == expected || strings.HasPrefix(name, "unique (") {
		return t.found.Indexes[name].describe()
	}
	return name + ": " + t.found.Indexes[name].describe()
}

// standIn names the index that does what the wanted one does, the one of its own name before others; "" for none.
func (t *tableComparison) standIn(want index, name string, others []string) string {
	does := func(candidate string) bool {
		x := t.found.Indexes[candidate]
		if want.Unique {
			return x.enforces() && sameSet(x.Columns, want.Columns) && (x.Predicate == want.Predicate || x.Predicate == "")
		}
		return !x.Invalid && slices.Equal(x.Columns, want.Columns) && x.Predicate == want.Predicate && x.Method == want.Method
	}
	if slices.Contains(others, name) && does(name) {
		return name
	}
	if i := slices.IndexFunc(others, does); i >= 0 {
		return others[i]
	}
	return ""
}

func whyStandIn(want, found index) string {
	switch {
	case want.Constraint && !found.Constraint:
		return "a unique index keeps values apart as a constraint does"
	case want.Unique && !want.Constraint && found.Constraint:
		return "a unique constraint keeps values apart as an index does"
	case !want.Unique && found.Unique:
		return "a unique index finds rows as a plain one does"
	case !slices.Equal(want.Columns, found.Columns):
		return "the order of the columns does not matter for their being unique"
	case want.Predicate != found.Predicate:
		return "nulls are never equal, so it keeps the same values apart"
	}
	return "the name does not matter"
}

// implied tells whether an index lets every row pass that the revision takes: a plain one does, and a unique one whose
// columns the revision keeps apart already, all or some of them.
func (t *tableComparison) implied(x index) bool {
	if !x.Unique {
		return true
	}
	if x.NullsEqual {
		return false
	}
	covers := func(columns []string, where string) bool {
		if len(columns) == 0 || !subset(columns, x.Columns) {
			return false
		}
		return where == "" || where == x.Predicate ||
			slices.ContainsFunc(columns, func(c string) bool { return where == c+" is not null" })
	}
	if covers(t.want.Primary.Columns, "") {
		return true
	}
	for _, want := range t.want.Indexes {
		if want.Unique && covers(want.Columns, want.Predicate) {
			return true
		}
	}
	return false
}

// absent judges an index that the table does not have and nothing stands in for.
func (t *tableComparison) absent(name string, want index, d *Difference) {
	found, same := t.found.Indexes[name]
	invalid := same && found.Invalid && !found.Constraint
	made := t.builtName(name, want)
	owner, taken := t.owner(made)
	switch {
	case same && !invalid:
		d.Verdict, d.Why = Contradicts, "an index of this name does something else: rename or drop it"
	case taken && !same:
		d.Verdict, d.Why = Contradicts, fmt.Sprintf("the name is taken by something of the table %s", owner)
	case t.guarded(name):
		d.Verdict, d.Why = Harmless, "every initialisation builds the indexes of the guards"
	default:
		d.Verdict, d.Why = Missing, "it can be built"
		if invalid {
			d.Why = "it is incomplete, and can be built again"
			d.Repair = append(d.Repair, "DROP INDEX CONCURRENTLY "+name)
		}
		d.Repair = append(d.Repair, t.build(made, want)...)
		if want.Unique {
			d.Why += " once no values are shared"
			d.Duplicates = countShared(t.name, want)
		}
	}
}

// guarded tells whether an index is one that the guards build.
func (t *tableComparison) guarded(name string) bool {
	return t.name == guardedTable && slices.ContainsFunc(guards, func(g guard) bool { return g.indexName() == name })
}

// builtName is what a repair calls an index. SQLite takes no constraints afterwards, so a unique index stands in for one.
func (t *tableComparison) builtName(name string, want index) string {
	if t.dialect == storage.SQLite && want.Constraint {
		return "uq_" + t.name + "_" + strings.Join(want.Columns, "_")
	}
	return name
}

// build gives the statements that make an index of a table that is in use.
func (t *tableComparison) build(name string, want index) []string {
	if t.dialect == storage.SQLite {
		return []string{createIndex(t.name, name, want, "")}
	}
	statements := []string{createIndex(t.name, name, want, "CONCURRENTLY ")}
	if want.Constraint {
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s UNIQUE USING INDEX %s", t.name, name, name))
	}
	return statements
}

// constraints compares checks, foreign keys and exclusions, which are known by what they say and not by their names.
func (t *tableComparison) constraints() {
	says := func(all map[string]constraint, definition string) (string, bool) {
		for name, x := range all {
			if x.Definition == definition {
				return name, true
			}
		}
		return "", false
	}
	told := map[string]bool{}
	for name, want := range t.want.Constraints {
		d := Difference{Object: name, Expected: want.describe(), Found: nothing}
		if other, ok := says(t.found.Constraints, want.Definition); ok {
			found := t.found.Constraints[other]
			d.Found = found.describe()
			switch {
			case found.NotValid && !want.NotValid:
				d.Verdict, d.Why = Missing, "rows from before it were not checked, and can be"
				d.Repair = []string{fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", t.name, other)}
			case other != name:
				d.Found = other + ": " + d.Found
				d.Verdict, d.Why = Harmless, "the name does not matter"
			default:
				continue
			}
		} else {
			told[name] = true
			t.absentConstraint(name, want, &d)
		}
		t.add(rankConstraint, d)
	}
	for name, found := range t.found.Constraints {
		if _, ok := says(t.want.Constraints, found.Definition); !ok && !told[name] {
			t.add(rankConstraint, Difference{Object: name, Expected: nothing, Found: found.describe(), Verdict: Contradicts, Why: refuses})
		}
	}
}

func (t *tableComparison) absentConstraint(name string, want constraint, d *Difference) {
	if t.dialect == storage.SQLite {
		d.Verdict, d.Why = Contradicts, "SQLite cannot add it to a table that exists"
		return
	}
	if found, taken := t.found.Constraints[name]; taken {
		d.Found, d.Verdict, d.Why = found.describe(), Contradicts, "a constraint of this name says something else"
		return
	}
	d.Verdict, d.Why = Missing, "it can be added"
	d.Repair = []string{fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", t.name, name, want.Definition)}
	if !want.NotValid {
		d.Repair = append(d.Repair, fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", t.name, name))
	}
}
