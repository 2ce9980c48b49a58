package bench_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker/bench"
)

func cluster(t *testing.T, url string) bench.Cluster {
	t.Helper()
	u, err := storage.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	silent := slog.New(slog.DiscardHandler)
	o := migrations.Options{Dialect: u.Dialect, Logger: silent}
	return bench.Cluster{
		Storage: storage.Options{URL: u, Logger: silent}, Lanes: 2, Logger: silent,
		Initialise: func(ctx context.Context, db storage.DB) (initlock.Result, error) {
			return db.Initialise(ctx, initlock.Options{
				Digest: migrations.Digest(u.Dialect, migrations.Seed{}, nil), Revision: migrations.Latest(),
				OldestCompatible: migrations.OldestCompatible, Name: t.Name(), Logger: silent,
			}, func(ctx context.Context, conn *sql.DB) error {
				_, err := migrations.Prepare(ctx, conn, o)
				return err
			})
		},
	}
}

func TestARunMeasuresBothPhasesAndIsAudited(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		o := bench.Options{Cluster: cluster(t, url), Shape: bench.Shape{Events: 1500, Wallets: 30, Seed: 1}}
		o.Replicas = 2
		phases := map[string]bool{}
		o.Progress = func(phase string, _, _ int) { phases[phase] = true }
		r, err := bench.Run(storagetest.Context(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || r.Audit.Events != 1560 || r.Audit.Pending != 0 || len(r.Phases) != 2 || r.Server == "" {
			t.Errorf("got %+v", r)
		}
		// All are applied but those that are made to fail.
		if diff := cmp.Diff([]string{"insufficient_funds"}, slices.Collect(maps.Keys(r.Audit.Reasons))); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		for _, p := range r.Phases {
			if p.Events != 1500 || p.Seconds <= 0 || p.Rate <= 0 || p.Cost.Commits <= 0 || p.Cost.Statements <= 0 {
				t.Errorf("%s: %+v", p.Name, p)
			}
			if postgres := r.Dialect == storage.PostgreSQL; postgres != (p.Cost.WALBytes > 100) || postgres != (p.Cost.Rows >= 1) {
				t.Errorf("%s on %s cost %+v", p.Name, r.Dialect, p.Cost)
			}
		}
		if a := r.Phases[0].Calls; a == nil || a.Count != 2 {
			t.Errorf("calls of 1,500 events in batches of 1,000: %+v", a)
		}
		if !phases["appending"] {
			t.Errorf("the progress told only of %v", phases)
		}
	})
}

func TestAPacedRunMeasuresTheLagOfEachEvent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		o := bench.Options{Cluster: cluster(t, url), Shape: bench.Shape{Events: 300, Wallets: 20, Seed: 1}, Rate: 600, Snapshot: true}
		r, err := bench.Run(storagetest.Context(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || len(r.Phases) != 1 || r.Lag == nil || r.Lag.Count == 0 || r.Lag.Count > 300 || r.Lag.P50 <= 0 || r.Phases[0].Calls.Count != 300 {
			t.Errorf("got %+v", r)
		}
		if r.Phases[0].Seconds < 0.45 {
			t.Errorf("300 events at 600 a second took %.2f s", r.Phases[0].Seconds)
		}
		n := 0
		for _, w := range r.Windows {
			n += w.Count
		}
		if n != r.Lag.Count {
			t.Errorf("the windows have %d events of %d: %+v", n, r.Lag.Count, r.Windows)
		}
	})
}

func TestARunThatWentWrongIsAnError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		c, s := cluster(t, url), bench.Shape{Events: 10, Wallets: 2, Seed: 1}
		ctx := storagetest.Context(t)
		if err := c.Open(ctx, s, nil); err != nil {
			t.Fatal(err)
		}
		var wrong *bench.WrongError
		if _, err := c.Audit(ctx, s.Opened()); err != nil {
			t.Errorf("an audit of all that there is: %v", err)
		}
		if _, err := c.Audit(ctx, s.Opened()+1); !errors.As(err, &wrong) || wrong.ExitCode() != 65 {
			t.Errorf("an audit that misses an event: %v", err)
		}
		if _, err := c.Append(ctx, s.Activity(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Audit(ctx, s.Opened()+s.Events); !errors.As(err, &wrong) {
			t.Errorf("an audit before the drain: %v", err)
		}
		if _, err := c.Drain(ctx, s.Events+1, nil); !errors.As(err, &wrong) {
			t.Errorf("a drain of fewer events than were measured: %v", err)
		}
		if _, err := c.Append(ctx, s.Opening(), nil); err == nil {
			t.Error("events that the log has already were appended")
		}
	})
}
