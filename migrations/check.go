package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/safebox/safebox/storage"
)

// CheckOptions of Check. Everything but the dialect may be left out.
type CheckOptions struct {
	Dialect storage.Dialect
	// AllowHarmless lets differences pass that change nothing for any program.
	AllowHarmless bool
}

// CheckReport says whether a database is what the revisions make.
type CheckReport struct {
	OK          bool         `json:"ok"`       // no problem, nothing pending, and no difference that counts
	Revision    string       `json:"revision"` // that the catalogue was compared with; "" for base
	Head        bool         `json:"head"`     // Revision is the newest that this build knows
	Pending     []string     `json:"pending"`  // revisions that an upgrade would apply, in order
	Differences []Difference `json:"differences"`
	Problem     string       `json:"problem,omitempty"` // what an upgrade would be refused for
	Do          string       `json:"do,omitempty"`      // what to do where it is not OK
}

// Check holds the live catalogue against the revision that the database is at: the one that the books name, or where
// they make no sense, the one that the catalogue fits best. It reads only and creates nothing.
func Check(ctx context.Context, db *sql.DB, o CheckOptions) (CheckReport, error) {
	s, err := setOf(o.Dialect)
	if err != nil {
		return CheckReport{}, err
	}
	f, err := inspect(ctx, db, o.Dialect)
	if err != nil {
		return CheckReport{}, err
	}
	p, err := s.plan(f)
	r := CheckReport{Pending: []string{}, Differences: []Difference{}}
	place := p.applied
	if err != nil {
		var refusal interface{ ExitCode() int }
		if !errors.As(err, &refusal) {
			return CheckReport{}, err
		}
		r.Problem, r.Do = problem(err)
		place = s.claimed(f)
	}
	r.Revision, r.Head = s.id(place), place == len(s.revisions)-1
	if i := f.interrupted; i == nil {
		r.Differences = append(r.Differences, s.compare(f.catalogue, place)...)
	} else if r.Problem == "" {
		// In the midst of a revision the tables are those of none.
		r.Problem, r.Do = i.in(s), fmt.Sprintf("Bring it to its end with %s.", i.goOn(s))
	}
	r.Pending = append(r.Pending, ids(s.revisions[place+1:])...)
	counts := worst(r.Differences)
	if o.AllowHarmless && counts == Harmless {
		counts = ""
	}
	r.OK = r.Problem == "" && r.Head && counts == ""
	if r.Do == "" {
		r.Do = r.advice(counts)
	}
	return r, nil
}

// Drifted tells whether a difference is more than harmless.
func (r CheckReport) Drifted() bool {
	w := worst(r.Differences)
	return w != "" && w != Harmless
}

// advice says what to do about a report that names no problem, "" where all is well.
func (r CheckReport) advice(counts Verdict) string {
	switch {
	case counts == Contradicts:
		return fmt.Sprintf("Make the tables what revision %s says, or restore a backup.", orBase(r.Revision))
	case counts == Missing:
		return fmt.Sprintf("Run `safebox migrate stamp --repair %s`, which shows what it does with --sql.", r.Revision)
	case !r.Head:
		return fmt.Sprintf("The database is %s behind: run `safebox migrate upgrade head`.", count(len(r.Pending), "revision", "revisions"))
	case counts == Harmless:
		return "Nothing has to be done: no program notices these differences. Remove them, or pass over them with --allow-harmless."
	}
	return ""
}

// claimed is where a database most likely is whose state the planner refuses: at the newest revision that the records
// name, or at the one that the catalogue fits best.
func (s *set) claimed(f facts) int {
	newest := -1
	for _, file := range f.records {
		newest = max(newest, s.file(file))
	}
	if len(f.versions) == 1 {
		newest = max(newest, s.index(f.versions[0]))
	}
	if newest < 0 {
		newest, _ = s.best(f.catalogue)
	}
	return newest
}

// problem takes a refusal apart: what is wrong, without the differences, and what to do.
func problem(err error) (what, do string) {
	var plan *PlanError
	if errors.As(err, &plan) {
		return plan.Problem, plan.Do
	}
	var refusal interface {
		headline() string
		do() string
	}
	if errors.As(err, &refusal) {
		return refusal.headline(), refusal.do()
	}
	return err.Error(), ""
}
