package migrations

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/safebox/safebox/storage"
)

// Options of Prepare and Upgrade. Everything but the dialect may be left out.
type Options struct {
	Dialect   storage.Dialect
	Seed      Seed         // zero: the built-in one
	Supported []string     // currencies that must be present after the seed; nil: DefaultSupported
	Logger    *slog.Logger // nil: slog.Default
	// Progress is told what happens now, between statements and outside transactions: it may use the connection.
	Progress func(activity string)
}

// Report is what a run did.
type Report struct {
	From    string        `json:"from"`    // the revision found, "" for an empty database
	To      string        `json:"to"`      // the revision now
	Head    bool          `json:"head"`    // To is the newest revision
	Adopted string        `json:"adopted"` // the revision at which a database of Alembic's was adopted; "" for none
	Applied []string      `json:"applied"` // revisions applied, in order
	Indexes []string      `json:"indexes"` // unique indexes built for guards
	Seeded  int           `json:"seeded"`  // currencies added
	Took    time.Duration `json:"-"`       // programs are told seconds, by who prints
}

// job is one run of Prepare or Upgrade.
type job struct {
	Options
	db  *sql.DB
	set *set
}

func newJob(db *sql.DB, o Options) (*job, error) {
	s, err := setOf(o.Dialect)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Seed = o.Seed.orBuiltIn()
	o.Supported = supportedOrDefault(o.Supported)
	return &job{Options: o, db: db, set: s}, nil
}

func (j *job) progress(activity string) {
	if j.Progress != nil {
		j.Progress(activity)
	}
}

// Prepare brings the database to the newest revision, adopting it if Alembic made it, makes the guards hold, adds the
// currencies of the seed and checks that the supported ones are there. The caller holds the initialisation lock, and db
// has exactly the one connection that holds it. Errors with a method ExitCode() int say how the process should end.
func Prepare(ctx context.Context, db *sql.DB, o Options) (Report, error) {
	return Upgrade(ctx, db, o, "head")
}

// Upgrade is Prepare up to a target: head, +n or a revision (an unambiguous beginning of one is enough). Below the head
// it neither builds the guards' indexes nor seeds, and the database must not be declared ready: Report.Head tells.
func Upgrade(ctx context.Context, db *sql.DB, o Options, target string) (Report, error) {
	started := time.Now()
	j, err := newJob(db, o)
	if err != nil {
		return Report{}, err
	}
	j.progress("inspecting the database")
	f, err := inspect(ctx, db, o.Dialect)
	if err != nil {
		return Report{}, err
	}
	p, err := j.set.plan(f)
	if err != nil {
		return Report{}, err
	}
	to, err := j.set.target(CommandUpgrade, target, p.applied)
	if err != nil {
		return Report{}, err
	}
	r := Report{From: j.id(p.applied), To: j.id(p.applied), Applied: []string{}, Indexes: []string{}}
	if err := j.foresee(ctx, f, to); err != nil {
		return r, err
	}
	if err := j.carryOut(ctx, p, to, &r); err != nil {
		return r, err
	}
	r.Took = time.Since(started)
	j.Logger.InfoContext(ctx, "database prepared", "from", r.From, "to", r.To, "adopted", r.Adopted, "applied", r.Applied,
		"indexes", r.Indexes, "seeded", r.Seeded, "took", r.Took.Round(time.Millisecond))
	return r, nil
}

// foresee refuses what can be known to fail before anything is written.
func (j *job) foresee(ctx context.Context, f facts, to int) error {
	j.progress("checking the guards")
	if err := j.foreseeGuards(ctx, f.catalogue); err != nil {
		return err
	}
	if !j.isHead(to) {
		return nil
	}
	return j.foreseeSupported(ctx, f.catalogue)
}

// carryOut does the work, and keeps the report true at every step.
func (j *job) carryOut(ctx context.Context, p plan, to int, r *Report) error {
	if p.adopted != "" {
		j.progress("adopting the database at " + p.adopted)
	}
	if err := j.keepBooks(ctx, p); err != nil {
		return err
	}
	if r.Adopted = p.adopted; p.adopted != "" {
		j.Logger.InfoContext(ctx, "adopted the database that Alembic made", "revision", p.adopted)
	}
	var err error
	r.Applied, err = j.apply(ctx, p.applied, to)
	r.To = j.id(p.applied + len(r.Applied))
	if err != nil {
		return err
	}
	r.Head = j.isHead(to)
	if !r.Head {
		return nil
	}
	j.progress("building the guards")
	if r.Indexes, err = j.buildGuards(ctx); err != nil {
		return err
	}
	j.progress("seeding currencies")
	if r.Seeded, err = j.seed(ctx); err != nil {
		return err
	}
	return j.verifySupported(ctx)
}

func (j *job) isHead(place int) bool { return place == len(j.set.revisions)-1 }

func (j *job) id(place int) string { return j.set.id(place) }
