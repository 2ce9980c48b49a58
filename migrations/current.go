package migrations

import (
	"context"
	"database/sql"
	"errors"

	"github.com/safebox/safebox/storage"
)

// State says where a database stands.
type State struct {
	Revision string   `json:"revision"` // the newest revision it has; "" for none
	Alembic  string   `json:"alembic"`  // what alembic_version says; "" for nothing
	Head     bool     `json:"head"`     // Revision is the newest that this build knows
	Recorded bool     `json:"recorded"` // the revision is in our own records, not only in alembic_version
	Pending  []string `json:"pending"`  // revisions an upgrade would apply, in order
	// Interrupted tells of a revision that was begun step by step and is not at its end; "" where none is under way.
	Interrupted string `json:"interrupted,omitempty"`
	Problem     string `json:"problem,omitempty"`
}

// Current reads where the database stands; it writes nothing and creates nothing. A database that an upgrade would
// refuse is no error here: Problem then holds what the upgrade would say, and Revision what the records claim.
func Current(ctx context.Context, db *sql.DB, d storage.Dialect) (State, error) {
	j, err := newJob(db, Options{Dialect: d})
	if err != nil {
		return State{}, err
	}
	f, err := inspect(ctx, db, d)
	if err != nil {
		return State{}, err
	}
	state := State{Recorded: len(f.records) > 0, Pending: []string{}}
	if len(f.versions) == 1 {
		state.Alembic = f.versions[0]
	}
	if f.interrupted != nil {
		state.Interrupted = f.interrupted.in(j.set)
	}
	p, err := j.set.plan(f)
	if err != nil {
		var refusal interface{ ExitCode() int }
		if !errors.As(err, &refusal) {
			return state, err
		}
		state.Problem = err.Error()
		state.Revision = state.Alembic
		if n := len(f.records); n > 0 {
			state.Revision = revisionOf(f.records[n-1])
		}
		return state, nil
	}
	state.Revision = j.id(p.applied)
	state.Head = j.isHead(p.applied)
	state.Pending = append(state.Pending, ids(j.set.revisions[p.applied+1:])...)
	return state, nil
}
