package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

// options say how this process opens the database, in the role that it shows to the server.
func (a *app) options(role string) storage.Options {
	return storage.Options{
		URL: a.conf.Database, Direct: a.conf.Direct, Policy: a.conf.Pool, Role: role, Instance: a.instance, Secrets: a.conf.Secrets, Logger: a.log,
	}
}

// look opens the database for a command that only reads, and closes it after the command. It creates nothing.
func (a *app) look(ctx context.Context, role string, read func(context.Context, storage.DB) error) (err error) {
	o := a.options(role)
	o.MustExist, o.Logger = true, a.quiet()
	return a.with(ctx, o, read)
}

// with opens the database and closes it after the work.
func (a *app) with(ctx context.Context, o storage.Options, work func(context.Context, storage.DB) error) (err error) {
	db, err := storage.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return work(ctx, db)
}

// query is look on a database that is ready.
func (a *app) query(ctx context.Context, role string, read func(context.Context, storage.DB) error) error {
	return a.look(ctx, role, func(ctx context.Context, db storage.DB) error {
		m, err := db.Marker().Read(ctx)
		if err != nil {
			return err
		}
		if err := usable(m); err != nil {
			return err
		}
		return read(ctx, db)
	})
}

// usable tells whether this build can work with the database that the marker describes. Where the schema is right, it can
// while another process prepares the database anew, or has failed to: the replicas that are at work go on, too.
func usable(m initlock.Record) error {
	newest := migrations.Latest()
	switch {
	case m.State == initlock.Absent:
		return storage.ErrNotInitialised
	case m.State == initlock.Running && m.Revision < newest:
		return notReady("the database is not ready: %s is preparing it since %s", m.Holder, terminal.Moment(m.StartedAt))
	case m.State == initlock.Failed && m.Revision < newest:
		return notReady("the database is not ready: %s failed to prepare it: %s", m.Holder, m.Error)
	case m.Revision < newest:
		return notReady("the database is at %s and this program needs %s", spelt(m.Revision), newest)
	case m.OldestCompatible > newest:
		return &failure{
			Code: exitConfig, Err: fmt.Errorf("the database is at revision %s, which needs a program of revision %s or newer; this one knows %s",
				m.Revision, m.OldestCompatible, newest),
			Todo: "run a newer safebox",
		}
	}
	return nil
}

func notReady(format string, args ...any) error {
	return &failure{
		Code: exitAgain, Err: fmt.Errorf(format, args...), Todo: "start a worker or run `safebox init`, then try again",
	}
}

// preparation is what a leader of this build does to a database, and how the protocol names it.
type preparation struct {
	lock    initlock.Options
	options migrations.Options
}

func (p preparation) work(ctx context.Context, db *sql.DB) error {
	o := p.options
	o.Progress = func(activity string) { initlock.Note(ctx, activity) } // for those who wait
	_, err := migrations.Prepare(ctx, db, o)
	return err
}

// prepare reads the seed, whole, before anything touches the database.
func (a *app) prepare(o initlock.Observer) (preparation, error) {
	seed, err := migrations.LoadSeed(a.conf.CurrencyCSV)
	if err != nil {
		return preparation{}, err
	}
	dialect := a.conf.Database.Dialect
	return preparation{
		lock: initlock.Options{
			Digest:           migrations.Digest(dialect, seed, a.conf.Currencies),
			Revision:         migrations.Latest(),
			OldestCompatible: migrations.OldestCompatible,
			Name:             a.instance,
			Logger:           a.log,
			Observer:         o,
			Code:             exitCode,
		},
		options: migrations.Options{Dialect: dialect, Seed: seed, Supported: a.conf.Currencies, Logger: a.log},
	}, nil
}

// initialise makes the database ready, or waits until another process has. A marker that says so already is believed as
// long as alembic_version says what it says at the head: Alembic knows nothing of the marker, and may have gone back beside
// us. Otherwise the planner judges, under the lock.
func (a *app) initialise(
	ctx context.Context, db storage.DB, o initlock.Options, work func(context.Context, *sql.DB) error,
) (initlock.Result, error) {
	result, err := db.Initialise(ctx, o, work)
	if err != nil || result.Outcome != initlock.OutcomeAlreadyReady {
		return result, err
	}
	versions, err := db.AlembicVersion(ctx)
	if err != nil {
		return result, fmt.Errorf("reading alembic_version: %w", err)
	}
	if slices.Equal(versions, []string{migrations.LatestAlembic}) {
		return result, nil
	}
	a.log.Warn("alembic_version was changed since the database was ready: looking at the schema again",
		"alembic_version", versions, "expected", migrations.LatestAlembic)
	o.Force = true
	return db.Initialise(ctx, o, work)
}

// refuseMemory refuses a database in memory for commands whose work would be gone with the process.
func (a *app) refuseMemory(command string) error {
	if !a.conf.Database.InMemory() {
		return nil
	}
	return &settingError{Name: "DATABASE", Value: a.conf.Database.String(), Err: fmt.Errorf(
		"%s needs a database in a file, which other processes can open and which outlives this one: "+
			"expected sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database", command)}
}
