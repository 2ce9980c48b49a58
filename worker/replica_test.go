package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

var alice = event.EncodeNpub([32]byte{1})

func replica(tb testing.TB, db storage.DB, change func(*worker.Options)) *worker.Replica {
	tb.Helper()
	o := worker.Options{
		DB: db, Instance: tb.Name(), Lanes: 1, Logger: silent, Initialise: findsReady(tb, db),
	}
	if change != nil {
		change(&o)
	}
	return worker.New(o)
}

// await returns when the condition holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	if !dbtest.Until(time.Minute, holds) {
		tb.Fatalf("waited in vain for %s", what)
	}
}

func register(i int) event.Event {
	return walletEvent(event.TypeWalletRegistered, alice, i,
		fmt.Sprintf(`{"npub":%q,"handle":"alice","home_relay":"wss://relay.example.org","onboard_code":"test"}`, alice))
}

func balance(tb testing.TB, db storage.DB) int64 {
	tb.Helper()
	w, err := db.Wallet(storagetest.Context(tb), "alice")
	if err != nil {
		tb.Fatal(err)
	}
	return w.Balance
}

func TestAReplicaProcessesWhatItFindsAndWhatComesAndDrains(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		appendAll(t, db, []event.Event{register(1), walletEvent(event.TypeFundsCredited, alice, 2, `{"amount":5}`)})
		ctx, drain := context.WithCancel(storagetest.Context(t))
		r := replica(t, db, nil)
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		await(t, "the backlog", func() bool { n, err := worker.Backlog(ctx, db); return err == nil && n == 0 })
		await(t, "the heartbeat", func() bool {
			rs, err := db.Replicas(ctx, worker.AliveWithin)
			return err == nil && len(rs) == 1 && rs[0].State == "ready"
		})
		for _, c := range r.Checks(ctx) {
			if !c.OK {
				t.Errorf("%s does not hold: %s", c.Name, c.Detail)
			}
		}
		appendAll(t, storagetest.Open(t, url), []event.Event{walletEvent(event.TypeFundsDebited, alice, 3, `{"amount":2}`)})
		await(t, "an event of another process", func() bool { return balance(t, db) == 3 })
		drain()
		if err := <-ended; err != nil {
			t.Errorf("the drain: %v", err)
		}
		if rs, err := db.Replicas(storagetest.Context(t), worker.AliveWithin); err != nil || len(rs) != 0 {
			t.Errorf("replicas after the drain: %v, %v", rs, err)
		}
	})
}

// ahead is a database whose clock is an hour ahead of this machine's.
type ahead struct{ storage.DB }

func (ahead) ClockOffset(context.Context) (offset, within time.Duration, err error) {
	return time.Hour, time.Millisecond, nil
}

// lags keeps what a replica tells of lags and of the clock; the rest goes nowhere.
type lags struct {
	worker.Observer
	seen, offsets chan time.Duration
}

func (l lags) Lag(_ context.Context, d time.Duration) { l.seen <- d }
func (l lags) ClockOffset(d time.Duration)            { l.offsets <- d }

func TestALagIsMeasuredByTheClockOfTheDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		appendAll(t, db, []event.Event{register(1)})
		told := lags{metrics.New(metrics.Options{}), make(chan time.Duration, 10), make(chan time.Duration, 10)}
		r := replica(t, ahead{db}, func(o *worker.Options) { o.Observer, o.UntilIdle = told, true })
		if err := r.Run(storagetest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if got := <-told.seen; got < time.Hour || got > time.Hour+time.Minute {
			t.Errorf("an event that was recorded a moment ago on this machine's clock lagged %s by one that is an hour ahead", got)
		}
		if got := <-told.offsets; got != time.Hour {
			t.Errorf("the offset was told as %s", got)
		}
	})
}

// Replicas that start together need the server for being ready, all of them.
func TestTheGuardsAreLookedAtAMomentAfterTheStart(t *testing.T) {
	db := storagetest.Ready(t, dbtest.SQLite(t))
	ctx, stop := context.WithCancel(storagetest.Context(t))
	looked := make(chan time.Time, 1)
	r := replica(t, db, func(o *worker.Options) {
		o.Observer = metrics.New(metrics.Options{Logger: silent})
		o.Guards = func(context.Context) (map[string]int, error) {
			looked <- time.Now()
			return nil, nil
		}
	})
	began, ended := time.Now(), make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if after := (<-looked).Sub(began); after < worker.GuardsFirst/2 {
		t.Errorf("the guards were looked at after %s, want %s at least", after, worker.GuardsFirst/2)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAReplicaEndsWithTheErrorOfItsPreparation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		broken := errors.New("the migration is broken")
		r := replica(t, storagetest.Ready(t, url), func(o *worker.Options) {
			o.Initialise = func(context.Context) (initlock.Result, error) { return initlock.Result{}, broken }
		})
		if err := r.Run(storagetest.Context(t)); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}

func TestAReplicaEndsWhenItsServerDoes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		gone := errors.New("the listener is gone")
		r := replica(t, storagetest.Ready(t, url), func(o *worker.Options) {
			o.HTTP = func(context.Context, worker.Probes, worker.Appender) error { return gone }
		})
		if err := r.Run(storagetest.Context(t)); !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
		r = replica(t, storagetest.Ready(t, url), func(o *worker.Options) {
			o.HTTP = func(ctx context.Context, probes worker.Probes, _ worker.Appender) error {
				await(t, "the replica to be at work", func() bool { return probes.Ready(ctx)[0].OK })
				return gone
			}
		})
		if err := r.Run(storagetest.Context(t)); !errors.Is(err, gone) {
			t.Errorf("while it processed: got %v, want %v", err, gone)
		}
	})
}

// A quote whose amount would take the balance out of range has no reason of the catalogue: it parks the wallet.
func TestAParkedWalletWaitsInOrderUntilItIsRetriedOrSkipped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		bob := event.EncodeNpub([32]byte{2})
		appendAll(t, db, []event.Event{
			register(1),
			walletEvent(event.TypeFundsCredited, alice, 2, fmt.Sprintf(`{"amount":%d}`, event.MaxAmount)),
			walletEvent(event.TypeQuoteCreated, alice, 3, `{"quote":"q","amount":5,"mint":"m"}`),
			walletEvent(event.TypeQuotePaid, alice, 4, `{"quote":"q"}`),
			walletEvent(event.TypeFundsDebited, alice, 5, `{"amount":1}`),
			walletEvent(event.TypeWalletRegistered, bob, 6,
				fmt.Sprintf(`{"npub":%q,"handle":"bob","home_relay":"wss://relay.example.org","onboard_code":"test"}`, bob)),
		})
		drain(t, db, 1)
		ctx := storagetest.Context(t)
		if _, err := db.Wallet(ctx, "bob"); err != nil {
			t.Errorf("another wallet did not go on: %v", err)
		}
		parked, err := db.Parked(ctx, event.Topic, worker.Group, alice, event.Place{}, 10)
		if err != nil || len(parked) != 2 || parked[0].ID != "e-4" || parked[0].Attempts != worker.MaxAttempts || parked[1].ID != "e-5" {
			t.Fatalf("parked: %+v, %v", parked, err)
		}
		operations := worker.Operations{DB: db}
		res, err := operations.Retry(ctx, alice, event.Operator{Actor: "operator", Reason: "test"})
		if err != nil || res.Waiting != 2 || res.Error == "" {
			t.Errorf("the retry: %+v, %v", res, err)
		}
		if res, err = operations.Skip(ctx, alice, event.Operator{Actor: "operator", Reason: "test"}); err != nil || res.Waiting != 0 || res.Outcomes["rejected"] != 1 || res.Outcomes["applied"] != 1 {
			t.Errorf("the skip: %+v, %v", res, err)
		}
		if _, err := operations.Skip(ctx, alice, event.Operator{Actor: "operator", Reason: "test"}); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("a skip with nothing parked: %v", err)
		}
		if got := balance(t, db); got != event.MaxAmount-1 {
			t.Errorf("balance %d", got)
		}
		a, err := db.Audit(ctx, event.Topic, worker.Group)
		if err != nil || !a.OK || a.Reasons["skipped"] != 1 || a.Parked != 0 {
			t.Errorf("the audit: %+v, %v", a, err)
		}
	})
}
