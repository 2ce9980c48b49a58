package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// A revision marked notransaction is taken up or down step by step, each of its statements one step. What was begun and
// what is finished is recorded in a table, so that the next run goes on where a death ended the last one.

const (
	stepTable   = "safebox_migration_step"
	createSteps = "CREATE TABLE IF NOT EXISTS safebox_migration_step (id text NOT NULL, direction text NOT NULL, step integer NOT NULL, " +
		"steps integer NOT NULL, sha256 text NOT NULL, started_at text NOT NULL, finished_at text, PRIMARY KEY (id, direction, step))"
)

// step is one statement of a revision that runs step by step.
type step struct {
	statement
	revision Revision
	up       bool
	number   int // from 1
	of       int
	sha256   string
}

// steps are the statements of a revision that runs step by step; none for one that is a single transaction.
func (s *set) steps(place int, up bool) []step {
	m := s.migrations[place]
	if up && !m.DisableTransactionUp || !up && !m.DisableTransactionDown {
		return nil
	}
	own := s.own(place, up)
	all := make([]step, len(own))
	for i, st := range own {
		sum := sha256.Sum256([]byte(st.SQL))
		all[i] = step{st, s.revisions[place], up, i + 1, len(own), hex.EncodeToString(sum[:])}
	}
	return all
}

// begun records the intent to run the step, finished the outcome of one whose intent is recorded, and ran both at once.
func (st step) begun(at time.Time) string { return st.insert(at, "NULL") }
func (st step) ran(at time.Time) string   { return st.insert(at, "'"+stamp(at)+"'") }

func (st step) insert(at time.Time, finished string) string {
	return fmt.Sprintf("INSERT INTO safebox_migration_step (id, direction, step, steps, sha256, started_at, finished_at) "+
		"VALUES ('%s', '%s', %d, %d, '%s', '%s', %s)", st.revision.File, direction(st.up), st.number, st.of, st.sha256, stamp(at), finished)
}

func (st step) finished(at time.Time) string {
	return fmt.Sprintf("UPDATE safebox_migration_step SET finished_at = '%s' WHERE id = '%s' AND direction = '%s' AND step = %d",
		stamp(at), st.revision.File, direction(st.up), st.number)
}

func forgetSteps(r Revision) string {
	return fmt.Sprintf("DELETE FROM safebox_migration_step WHERE id = '%s'", r.File)
}

func direction(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// stepRecord is a row of the table: a step that was begun.
type stepRecord struct {
	file, direction string
	number, of      int
	sha256          string
	finished        bool
}

func readSteps(ctx context.Context, db *sql.DB) ([]stepRecord, error) {
	rows, err := db.QueryContext(ctx, `SELECT id, direction, step, steps, sha256, finished_at IS NOT NULL
		FROM safebox_migration_step ORDER BY id, direction, step`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []stepRecord
	for rows.Next() {
		var r stepRecord
		if err := rows.Scan(&r.file, &r.direction, &r.number, &r.of, &r.sha256, &r.finished); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// interruption is a revision that was begun step by step and is not at its end.
type interruption struct {
	File     string
	Up       bool
	Done, Of int // steps finished, and how many there are
}

// interrupted is what the records tell of, nil when they are empty.
func interrupted(records []stepRecord) *interruption {
	var i *interruption
	for _, r := range records {
		if i == nil {
			i = &interruption{File: r.file, Up: r.direction == direction(true)}
		}
		i.Of = r.of
		if r.finished {
			i.Done++
		}
	}
	return i
}

// walk takes a revision up or down step by step.
func (j *job) walk(ctx context.Context, place int, up bool) error {
	steps := j.set.steps(place, up)
	records, err := j.begin(ctx, steps)
	if err != nil {
		return err
	}
	tell := &teller{job: j}
	for i, st := range steps {
		var known *stepRecord
		if i < len(records) {
			known = &records[i]
		}
		if known != nil && known.finished {
			continue
		}
		err := tell.while(ctx, st, func() error {
			if st.Outside {
				return j.stepOutside(ctx, st, known != nil, tell)
			}
			return j.stepInside(ctx, st)
		})
		if err != nil {
			return &StepError{Revision: st.revision.ID, Step: st.number, Of: st.of, Err: err}
		}
	}
	err = j.patiently(ctx, "record "+j.id(place), func(ctx context.Context) error {
		return j.transact(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, j.set.books(place, up, time.Now())...) })
	})
	if err != nil {
		return fmt.Errorf("record the revision %s, whose steps are all done: %w", j.id(place), err)
	}
	return nil
}

// begin reads how far an earlier run came: the records are those of the first steps, in order.
func (j *job) begin(ctx context.Context, steps []step) ([]stepRecord, error) {
	err := j.patiently(ctx, "create "+stepTable, func(ctx context.Context) error {
		return j.transact(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, createSteps) })
	})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", stepTable, err)
	}
	records, err := readSteps(ctx, j.db)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stepTable, err)
	}
	for i, r := range records {
		switch {
		case r.file != steps[0].revision.File || r.direction != direction(steps[0].up):
			return nil, &PlanError{
				Problem: fmt.Sprintf("%s tells that %s was interrupted on its way %s, which comes before %s %s",
					stepTable, r.file, r.direction, steps[0].revision.File, direction(steps[0].up)),
				Do: "Bring that to its end first.",
			}
		case i >= len(steps) || r.number != steps[i].number || r.sha256 != steps[i].sha256:
			return nil, &PlanError{
				Problem: fmt.Sprintf("%s has changed since it was interrupted at step %d: what was done is not what this build would have done", r.file, r.number),
				Do:      "Run the build that began it.",
			}
		}
	}
	if i := interrupted(records); i != nil {
		j.Logger.InfoContext(ctx, "going on with an interrupted revision", "revision", steps[0].revision.ID, "done", i.Done, "of", i.Of)
	}
	return records, nil
}

// stepInside runs a step in one transaction with its record.
func (j *job) stepInside(ctx context.Context, st step) error {
	j.debug(ctx, st, "step begins")
	err := j.patiently(ctx, st.task(), func(ctx context.Context) error {
		return j.revise(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, j.lazily(st.SQL, st.ran(time.Now()))...) })
	})
	if err != nil {
		return err
	}
	j.debug(ctx, st, "step finished")
	return nil
}

// stepOutside runs a step that no transaction can hold: its intent is recorded before it and its outcome after it. With an
// intent that an earlier run left, nobody knows how far it came: of an index the catalogue tells, and a block that commits
// by itself must be repeatable.
func (j *job) stepOutside(ctx context.Context, st step, again bool, tell *teller) error {
	write := func(record string) error {
		return j.patiently(ctx, st.task(), func(ctx context.Context) error {
			return j.transact(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, j.lazily(record)...) })
		})
	}
	x := indexOf(st.SQL)
	j.debug(ctx, st, "step begins")
	if !again {
		if err := j.refuseTaken(ctx, x); err != nil {
			return err
		}
		if err := write(st.begun(time.Now())); err != nil {
			return err
		}
		j.debug(ctx, st, "intent recorded")
	}
	restore, err := j.outsideSettings(ctx, x != nil)
	if err != nil {
		return err
	}
	err = j.patiently(ctx, st.task(), func(ctx context.Context) error {
		if x != nil {
			if done, err := j.reconcile(ctx, x, again); done || err != nil {
				return err
			}
			again = true
		}
		defer tell.listen(ctx)()
		_, err := j.db.ExecContext(ctx, st.SQL)
		return err
	})
	restore()
	if err != nil {
		return errors.Join(err, j.sweep(ctx, x))
	}
	j.debug(ctx, st, "statement finished")
	if err := write(st.finished(time.Now())); err != nil {
		return err
	}
	j.debug(ctx, st, "step finished")
	return nil
}

// takenError is a statement that cannot be run because of something that somebody else put into the database.
type takenError struct{ problem string }

func (e *takenError) Error() string { return e.problem + ": rename or drop it, then start again" }

// ExitCode is 65: bad data.
func (*takenError) ExitCode() int { return exitData }

// dependentError is an object of somebody else's that hangs on what a revision has to drop.
type dependentError struct{ error }

func (e *dependentError) Unwrap() error { return e.error }

// ExitCode is 65: bad data.
func (*dependentError) ExitCode() int { return exitData }

// explain gives an error its exit code where it is the operator's to act and no bug.
func explain(err error) error {
	if sqlState(err) == "2BP01" { // dependent_objects_still_exist
		return &dependentError{err}
	}
	return err
}

// debug logs the boundaries of a step.
func (j *job) debug(ctx context.Context, st step, what string) {
	j.Logger.DebugContext(ctx, what, "revision", st.revision.ID, "direction", direction(st.up), "step", st.number, "of", st.of)
}
