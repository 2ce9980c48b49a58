package migrations

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	migrate "github.com/rubenv/sql-migrate"
)

// A statement is one of those that take a revision up or down.
type statement struct {
	SQL     string  // without a semicolon at its end
	Outside bool    // it cannot run in a transaction
	Ends    bool    // the record of a step: the transaction ends behind it, so that no lock is held on to
	makes   []thing // of a way up
}

// statements is all that one revision does, in order: its own statements and the books that are kept of it. The record in
// gorp_migrations, the checksum and alembic_version come last and belong into one transaction, which for a revision
// that does not run step by step is the only one. Each transaction begins with the dialect's preamble.
func (s *set) statements(place int, up bool, at time.Time) []statement {
	var all []statement
	if steps := s.steps(place, up); steps == nil {
		all = s.own(place, up)
	} else {
		all = append(all, statement{SQL: createSteps})
		for _, st := range steps {
			if st.Outside {
				all = append(all, statement{SQL: st.begun(at), Ends: true}, st.statement, statement{SQL: st.finished(at), Ends: true})
			} else {
				all = append(all, st.statement, statement{SQL: st.ran(at), Ends: true})
			}
		}
	}
	for _, sql := range s.books(place, up, at) {
		all = append(all, statement{SQL: sql})
	}
	return all
}

// own are the statements that a revision's file has for a direction. They are everybody's, and not to be changed.
func (s *set) own(place int, up bool) []statement {
	if up {
		return s.ways[place].up
	}
	return s.ways[place].down
}

// ways are the statements of a revision's file.
type ways struct{ up, down []statement }

func waysOf(m *migrate.Migration) ways {
	w := ways{statementsOf(m.Up), statementsOf(m.Down)}
	for i := range w.up {
		w.up[i].makes = thingsOf(w.up[i].SQL)
	}
	return w
}

func statementsOf(texts []string) []statement {
	all := make([]statement, len(texts))
	for i, text := range texts {
		sql := bare(text)
		all[i] = statement{SQL: sql, Outside: outside(sql)}
	}
	return all
}

// alone finds the statements that PostgreSQL or SQLite refuse in a transaction, and calls of procedures, which may commit.
var (
	alone   = regexp.MustCompile(`(?i)^(?:(?:create(?:\s+unique)?|drop)\s+index\s+concurrently|reindex\b.*\bconcurrently|vacuum|call|pragma)\b`)
	commits = regexp.MustCompile(`(?is)^do\b.*\bcommit\s*;`)
)

// outside tells whether a statement cannot run in a transaction.
func outside(sql string) bool { return alone.MatchString(sql) || commits.MatchString(sql) }

// books is what is written down of a revision that went up or down.
func (s *set) books(place int, up bool, at time.Time) []string {
	r := s.revisions[place]
	after, before := s.alembicOf(place), s.alembicOf(place-1)
	if !up {
		after, before = before, after
	}
	all := []string{record(r, at), rememberChecksum(r, at)}
	if !up {
		all = []string{forget(r), forgetChecksum(r)}
	}
	if after != before {
		all = append(all, setVersion(after)...)
	}
	if s.steps(place, up) != nil {
		all = append(all, forgetSteps(r))
	}
	return all
}

// remark is a comment before a statement.
var remark = regexp.MustCompile(`^\s*(?:--[^\n]*(?:\n|$)|(?s:/\*.*?\*/))`)

// bare is a statement as the file has it, without the blanks and remarks before it and the semicolon at its end.
func bare(sql string) string {
	for remark.MatchString(sql) {
		sql = remark.ReplaceAllString(sql, "")
	}
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(sql), ";"))
}

// The books are written as plain text, so that a script can hold them; they hold nothing but times, and names and sums
// of this build's own files.

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

func record(r Revision, at time.Time) string {
	return fmt.Sprintf("INSERT INTO gorp_migrations (id, applied_at) VALUES ('%s', '%s')", r.File, stamp(at))
}

func forget(r Revision) string {
	return fmt.Sprintf("DELETE FROM gorp_migrations WHERE id = '%s'", r.File)
}

func rememberChecksum(r Revision, at time.Time) string {
	return fmt.Sprintf("INSERT INTO safebox_migration_checksum (id, sha256, applied_at) VALUES ('%s', '%s', '%s') "+
		"ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, applied_at = excluded.applied_at",
		r.File, r.SHA256, at.UTC().Format(time.RFC3339))
}

func forgetChecksum(r Revision) string {
	return fmt.Sprintf("DELETE FROM safebox_migration_checksum WHERE id = '%s'", r.File)
}

func setVersion(id string) []string {
	statements := []string{"DELETE FROM alembic_version"}
	if id != "" {
		statements = append(statements, fmt.Sprintf("INSERT INTO alembic_version (version_num) VALUES ('%s')", id))
	}
	return statements
}
