package peers

import (
	"context"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
)

// A peer drains the events of bench_queue.
type peer struct {
	name string
	// load fills the peer's own queue; it is not timed.
	load func(ctx context.Context, url string) error
	// run processes n events and tells how long that took.
	run func(ctx context.Context, url string, n int) (time.Duration, error)
}

func allPeers(tb testing.TB) []peer {
	return []peer{riverInTx, riverPlain, watermillSQL, graphileWorker(tb), handWritten(tb)}
}

// drainBy lets a peer drain a copy of the database of a workload, and asks the audit.
func drainBy(ctx context.Context, tb testing.TB, p peer, url string, s bench.Shape) (took time.Duration, err error) {
	if err := p.load(ctx, url); err != nil {
		return 0, err
	}
	if err := execute(ctx, url, "VACUUM (ANALYZE)"); err != nil {
		return 0, err
	}
	if took, err = p.run(ctx, url, s.Events); err != nil {
		return took, err
	}
	// The peer knows no cursor: the audit shall see that everything below the last position was processed.
	err = execute(ctx, url, `UPDATE event_cursor c SET position =
		(SELECT max(position) FROM event_log l WHERE l.topic = c.topic AND l.partition = c.partition)
		WHERE EXISTS (SELECT FROM event_log l WHERE l.topic = c.topic AND l.partition = c.partition)`)
	if err != nil {
		return took, err
	}
	_, err = cluster(tb, url).Audit(ctx, s.Opened()+s.Events)
	return took, err
}

// A peer that lost, repeated or mixed up an event would be compared by a figure that means nothing.
func TestEachPeerProcessesEachEventExactlyOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := bench.Shape{Events: 400, Wallets: 20, Seed: 1}
	dbs := &templates{server: dbtest.Server(t, dbtest.Options{})}
	must(t, dbs.add(ctx, "small", filled(ctx, t, s)))
	for _, p := range allPeers(t) {
		t.Run(p.name, func(t *testing.T) {
			must(t, dbs.with(ctx, "small", func(url string) error {
				took, err := drainBy(ctx, t, p, url, s)
				if err == nil && took <= 0 {
					t.Errorf("it took %s", took)
				}
				return err
			}))
		})
	}
}

// The audit must not be clean where a peer did nothing.
func TestAPeerThatDoesNothingIsFound(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := bench.Shape{Events: 50, Wallets: 5, Seed: 1}
	dbs := &templates{server: dbtest.Server(t, dbtest.Options{})}
	must(t, dbs.add(ctx, "small", filled(ctx, t, s)))
	idle := peer{
		name: "idle", load: func(context.Context, string) error { return nil },
		run: func(context.Context, string, int) (time.Duration, error) { return time.Second, nil },
	}
	must(t, dbs.with(ctx, "small", func(url string) error {
		if _, err := drainBy(ctx, t, idle, url, s); err == nil {
			t.Error("nothing was processed, and the audit found nothing")
		}
		return nil
	}))
}
