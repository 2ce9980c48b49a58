package migrations

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	createsTable = regexp.MustCompile(`(?i)\bcreate\s+table\s+([a-z_][a-z0-9_]*)\s*\(`)
	altersTable  = regexp.MustCompile(`(?i)\balter\s+table\s+([a-z_][a-z0-9_]*)((?:[^;'$]|'[^']*')*)`)
	addsColumn   = regexp.MustCompile(`(?i)\badd\s+column\s+([a-z_][a-z0-9_]*)`)
)

// A thing is a table, or a column of one, that a statement makes.
type thing struct{ table, column string }

func thingsOf(sql string) []thing {
	var all []thing
	for _, m := range createsTable.FindAllStringSubmatch(sql, -1) {
		all = append(all, thing{table: m[1]})
	}
	for _, alter := range altersTable.FindAllStringSubmatch(sql, -1) {
		for _, m := range addsColumn.FindAllStringSubmatch(alter[2], -1) {
			all = append(all, thing{alter[1], m[1]})
		}
	}
	return all
}

// taken refuses an upgrade that makes tables or columns which are there already: somebody else made them, and nothing is
// known of what they hold.
func (s *set) taken(f facts, from, to int) error {
	has := map[string]table{}
	for name, t := range f.catalogue {
		has[strings.ToLower(name)] = t
	}
	var found []string
	for place := from + 1; place <= to; place++ {
		statements := s.own(place, true)
		if i := f.interrupted; i != nil && i.Up && i.File == s.revisions[place].File {
			statements = statements[min(i.Done, len(statements)):]
		}
		for _, st := range statements {
			for _, m := range st.makes {
				t, there := has[strings.ToLower(m.table)]
				if _, double := t.column(m.column); double {
					found = append(found, fmt.Sprintf("the column %s.%s (%s)", m.table, m.column, s.id(place)))
				} else if there && m.column == "" {
					found = append(found, fmt.Sprintf("the table %s (%s)", m.table, s.id(place)))
				}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &PlanError{
		Problem: "the database has already what revisions are still to make: " + strings.Join(found, ", "),
		Do:      "Rename or drop what is not Safebox's own, then start again.",
	}
}
