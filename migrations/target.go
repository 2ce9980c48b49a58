package migrations

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/safebox/safebox/storage"
)

// Command is one of Alembic's commands that write.
type Command string

// The commands that write.
const (
	CommandUpgrade   Command = "upgrade"
	CommandDowngrade Command = "downgrade"
	CommandStamp     Command = "stamp"
)

// Target names the revision at which a command on a database in this state would end, "" for base: before the first. The
// target is head, base, a revision or the unambiguous beginning of one, each with +n or -n behind it, or +n or -n alone,
// which count from where the database is. It is a *TargetError when there is no such revision or the command does not go
// there, so that a slip of the pen can be refused before anything is locked.
func Target(d storage.Dialect, s State, target string, c Command) (string, error) {
	set, err := setOf(d)
	if err != nil {
		return "", err
	}
	place, err := set.target(c, target, set.index(s.Revision))
	if err != nil {
		return "", err
	}
	return set.id(place), nil
}

// setOf is the revisions of a dialect.
func setOf(d storage.Dialect) (*set, error) {
	parsed, ok := sets[d]
	if !ok {
		return nil, fmt.Errorf("there are no migrations for the dialect %q", d)
	}
	return parsed(), nil
}

// id names the revision at a place, "" before the first.
func (s *set) id(place int) string {
	if place < 0 {
		return ""
	}
	return s.revisions[place].ID
}

// target is the place that a command on a database at the applied place would go to.
func (s *set) target(c Command, name string, applied int) (int, error) {
	place, problem := s.resolve(name, applied)
	last := len(s.revisions) - 1
	switch {
	case problem != "":
	case c != CommandUpgrade && c != CommandDowngrade && (name[0] == '+' || name[0] == '-'):
		problem = "only an upgrade and a downgrade count from where the database is"
	case place > last:
		from := place - steps(name)
		problem = fmt.Sprintf("there are only %d revisions after %s", last-from, orBase(s.id(from)))
	case place < -1:
		from := place - steps(name)
		problem = fmt.Sprintf("there are only %d revisions from %s down to base", from+1, orBase(s.id(from)))
	case c == CommandUpgrade && place < 0:
		problem = "base is before the first revision, and an upgrade does not go down"
	case c == CommandUpgrade && place < applied:
		problem = fmt.Sprintf("the database is at %s already, and an upgrade does not go down: `safebox migrate downgrade %s` does", s.id(applied), name)
	case c == CommandDowngrade && strings.HasPrefix(name, "+"):
		problem = "a downgrade does not go up"
	case c == CommandDowngrade && place > applied:
		problem = fmt.Sprintf("the database is at %s, and a downgrade does not go up: `safebox migrate upgrade %s` does", orBase(s.id(applied)), name)
	}
	if problem != "" {
		return 0, &TargetError{c, name, problem, ids(s.revisions)}
	}
	return place, nil
}

// resolve reads a target: a symbol, a relative part, or both. The problem is "" for one that can be read; the place may
// lie outside the revisions.
func (s *set) resolve(name string, applied int) (place int, problem string) {
	symbol, relative := name, ""
	if i := strings.LastIndexAny(name, "+-"); i >= 0 {
		symbol, relative = name[:i], name[i:]
	}
	switch symbol {
	case "head", "heads":
		place = len(s.revisions) - 1
	case "base":
		place = -1
	case "":
		if relative == "" {
			return 0, "it is empty"
		}
		place = applied
	default:
		if place, problem = s.find(symbol); problem != "" {
			return 0, problem
		}
	}
	if relative == "" {
		return place, ""
	}
	if n := steps(name); n != 0 {
		return place + n, ""
	}
	return 0, "+n and -n want a whole number from 1 to 9999"
}

// steps is the relative part of a target as a number: 2 for "head+2", -1 for "-1"; 0 for none or one that is no number
// from 1 to 9999.
func steps(name string) int {
	i := strings.LastIndexAny(name, "+-")
	if i < 0 || len(name)-i > 5 || strings.ContainsAny(name[i+1:], "+-") {
		return 0
	}
	n, err := strconv.Atoi(name[i:])
	if err != nil {
		return 0
	}
	return n
}

// find is the place of a revision by its ID, its file, or the unambiguous beginning of its ID.
func (s *set) find(name string) (place int, problem string) {
	found := -1
	for i, r := range s.revisions {
		if r.ID == name || r.File == name {
			return i, ""
		}
		if strings.HasPrefix(r.ID, name) {
			if found >= 0 {
				return 0, "several revisions begin so"
			}
			found = i
		}
	}
	if found < 0 {
		return 0, "there is no such revision"
	}
	return found, ""
}

// orBase is a revision for people.
func orBase(id string) string {
	if id == "" {
		return "base"
	}
	return id
}
