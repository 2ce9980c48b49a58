package migrations

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"

	"github.com/safebox/safebox/storage"
)

// Options of the commands that write. Everything but the dialect may be left out.
type Options struct {
	Dialect   storage.Dialect
	Seed      Seed         // zero: the built-in one
	Supported []string     // currencies that must be present after the seed; nil: DefaultSupported
	Logger    *slog.Logger // nil: slog.Default
	// Progress is told what happens now: between statements and, while one runs that takes long, at most once a second, from
	// another goroutine or the one that runs it but never from two at a time. It must not use the connection.
	Progress func(activity string)

	Yes    bool // Downgrade may lose data
	Repair bool // Stamp makes what is missing
	Purge  bool // Stamp does not ask what alembic_version says
}

// Report is what a run did. Lists are never nil.
type Report struct {
	From     string        `json:"from"`     // the revision found, "" for an empty database
	To       string        `json:"to"`       // the revision now
	Head     bool          `json:"head"`     // To is the newest revision
	Adopted  string        `json:"adopted"`  // the revision at which a database was adopted that Alembic had moved; "" for none
	Harmless []Difference  `json:"harmless"` // of the catalogue from the revision that was adopted or stamped
	Applied  []string      `json:"applied"`  // revisions applied, in order
	Reverted []string      `json:"reverted"` // revisions taken back, in order
	Repaired []string      `json:"repaired"` // statements that made what was missing
	Lost     []Loss        `json:"lost"`     // what a downgrade took away
	Indexes  []string      `json:"indexes"`  // unique indexes built for guards
	Seeded   int           `json:"seeded"`   // currencies added
	Took     time.Duration `json:"-"`        // programs are told seconds, by who prints
}

// job is one run of a command that writes.
type job struct {
	Options
	db  *sql.DB
	set *set

	telling sync.Mutex // held while Progress is called
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
		j.telling.Lock()
		defer j.telling.Unlock()
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
	f, p, to, err := j.aim(ctx, CommandUpgrade, target)
	if err != nil {
		return Report{}, err
	}
	r := j.report(p)
	if err := j.foresee(ctx, f, p.applied, to); err != nil {
		return r, err
	}
	if err := j.carryOut(ctx, f, p, to, &r); err != nil {
		return r, err
	}
	r.Took = time.Since(started)
	j.Logger.InfoContext(ctx, "database prepared", "from", r.From, "to", r.To, "adopted", r.Adopted, "applied", r.Applied,
		"indexes", r.Indexes, "seeded", r.Seeded, "took", r.Took.Round(time.Millisecond))
	return r, nil
}

// Foresee refuses what a command would refuse before it changes anything, and writes nothing: so that a mistake is told
// before a lock is taken. Its errors are those of Upgrade, Downgrade and Stamp that say so.
func Foresee(ctx context.Context, db *sql.DB, o Options, c Command, target string) error {
	j, err := newJob(db, o)
	if err != nil {
		return err
	}
	if c == CommandStamp {
		_, err := j.judge(ctx, target)
		return err
	}
	f, p, to, err := j.aim(ctx, c, target)
	if err != nil {
		return err
	}
	if c == CommandDowngrade {
		_, err := j.foreseeLosses(ctx, f.catalogue, p.applied, to)
		return err
	}
	return j.foresee(ctx, f, p.applied, to)
}

// aim reads the facts, plans, and finds the place that a command goes to.
func (j *job) aim(ctx context.Context, c Command, target string) (f facts, p plan, to int, err error) {
	j.progress("inspecting the database")
	if f, err = inspect(ctx, j.db, j.Dialect); err != nil {
		return f, p, 0, err
	}
	if p, err = j.set.plan(f); err != nil {
		return f, p, 0, err
	}
	if to, err = j.set.target(c, target, p.applied); err != nil {
		return f, p, 0, err
	}
	return f, p, to, j.set.goesOn(c, f, to)
}

// report is one that tells of the plan and of no work yet.
func (j *job) report(p plan) Report {
	at := j.id(p.applied)
	return Report{
		From: at, To: at, Harmless: append([]Difference{}, p.harmless...), Applied: []string{}, Reverted: []string{},
		Repaired: []string{}, Lost: []Loss{}, Indexes: []string{},
	}
}

// foresee refuses what can be known to fail before anything is written.
func (j *job) foresee(ctx context.Context, f facts, from, to int) error {
	if err := j.set.taken(f, from, to); err != nil {
		return err
	}
	j.progress("checking the guards")
	if err := j.foreseeGuards(ctx, f.catalogue); err != nil {
		return err
	}
	if !j.isHead(to) {
		return nil
	}
	return j.foreseeSupported(ctx, f.catalogue)
}

// adopt writes down where the database is, as far as the books do not say so yet.
func (j *job) adopt(ctx context.Context, f facts, p plan, r *Report) error {
	if p.adopted != "" {
		j.progress("adopting the database at " + p.adopted)
	}
	if err := j.keepBooks(ctx, j.set.settle(f, p.applied, time.Now())); err != nil {
		return err
	}
	if !adoptable(p.drift) {
		j.Logger.WarnContext(ctx, "the tables are no longer those of the revision: `safebox migrate check` lists what differs",
			"revision", j.id(p.applied), "differences", len(p.drift))
	}
	if r.Adopted = p.adopted; p.adopted == "" && len(p.forgotten) == 0 {
		return nil
	}
	harmless := []string{}
	for _, d := range p.harmless {
		harmless = append(harmless, d.String())
	}
	j.Logger.InfoContext(ctx, "adopted the database as Alembic left it", "revision", p.adopted, "harmless_differences", harmless,
		"taken_back", append([]string{}, p.forgotten...))
	return nil
}

// carryOut does the work, and keeps the report true at every step.
func (j *job) carryOut(ctx context.Context, f facts, p plan, to int, r *Report) error {
	if err := j.adopt(ctx, f, p, r); err != nil {
		return err
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
