package migrations

import (
	"slices"
	"strings"

	"github.com/safebox/safebox/storage"
)

// An Entry is a revision in its history. The history is one line: each revision has one parent, and there is one head.
type Entry struct {
	Revision
	Parent  string `json:"parent"`  // the revision before; "" for base
	Doc     string `json:"doc"`     // the name in words
	Path    string `json:"path"`    // of the file, in the package
	Head    bool   `json:"head"`    // the newest
	Alembic bool   `json:"alembic"` // Alembic knows it too
}

// History lists the revisions of a dialect, newest first as Alembic does; none for an unknown dialect.
func History(d storage.Dialect) []Entry {
	revisions := Revisions(d)
	entries := make([]Entry, len(revisions))
	for i, r := range revisions {
		entries[i] = Entry{
			Revision: r, Doc: strings.ReplaceAll(r.Name, "_", " "), Path: "migrations/" + string(d) + "/" + r.File,
			Head: i == len(revisions)-1, Alembic: r.ID <= LatestAlembic,
		}
		if i > 0 {
			entries[i].Parent = revisions[i-1].ID
		}
	}
	slices.Reverse(entries)
	return entries
}

// Heads lists the newest revisions of a dialect: always one, since there are no branches.
func Heads(d storage.Dialect) []Entry {
	return slices.DeleteFunc(History(d), func(e Entry) bool { return !e.Head })
}

// Show is the revision that a name stands for: head, a revision or the unambiguous beginning of one. It is a
// *TargetError when there is none.
func Show(d storage.Dialect, name string) (Entry, error) {
	s, err := setOf(d)
	if err != nil {
		return Entry{}, err
	}
	place, err := s.target("show", name, -1)
	if err == nil && place < 0 {
		err = &TargetError{"show", name, "base is before the first revision", ids(s.revisions)}
	}
	if err != nil {
		return Entry{}, err
	}
	history := History(d)
	return history[len(history)-1-place], nil
}
