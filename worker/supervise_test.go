package worker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// supervisor keeps what it is told.
type supervisor struct {
	mu   sync.Mutex
	told []string
}

func (s *supervisor) tell(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, what)
}

func (s *supervisor) count(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.told {
		if t == what {
			n++
		}
	}
	return n
}

// first is where the first of these words stands.
func (s *supervisor) first(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Index(s.told, what)
}

func (s *supervisor) Watchdog() time.Duration { return 30 * time.Millisecond }
func (s *supervisor) Extend(time.Duration)    { s.tell("extend") }
func (s *supervisor) Ready()                  { s.tell("ready") }
func (s *supervisor) Alive()                  { s.tell("alive") }
func (s *supervisor) Status(text string)      { s.tell(text) }
func (s *supervisor) Stopping()               { s.tell("stopping") }

func TestASupervisorIsToldOfTheStartTheWorkAndTheDrain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		var s supervisor
		ctx, drain := context.WithCancel(storagetest.Context(t))
		r := replica(t, storagetest.Ready(t, url), func(o *worker.Options) { o.Supervisor = &s })
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		await(t, "signs of life after it was ready", func() bool { return s.first("ready") >= 0 && s.count("alive") > 3 })
		if s.count("stopping") > 0 {
			t.Error("it was said to stop before it did")
		}
		drain()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		signs := s.count("alive")
		if e, r, d := s.first("extend"), s.first("ready"), s.first("stopping"); e < 0 || e > r || r > d {
			t.Errorf("told in the wrong order: %q", s.told)
		}
		if s.count("ready") != 1 || s.count("stopping") != 1 || s.count("alive") != signs {
			t.Errorf("told too often, or after the end: %q", s.told)
		}
	})
}

// slow is a database whose heartbeat does not keep to its context.
type slow struct {
	storage.DB
	beats   chan struct{}
	release chan struct{}
}

func (s slow) Beat(ctx context.Context, r storage.Replica) error {
	s.beats <- struct{}{}
	<-s.release
	return s.DB.Beat(ctx, r)
}

func TestAReplicaWhoseHeartbeatDoesNotComeRoundGivesNoSignOfLife(t *testing.T) {
	s := supervisor{}
	db := slow{storagetest.Ready(t, dbtest.SQLite(t)), make(chan struct{}), make(chan struct{})}
	ctx, drain := context.WithCancel(storagetest.Context(t))
	told := make(chan worker.Probes, 1)
	r := replica(t, db, func(o *worker.Options) {
		o.Supervisor = &s
		o.HTTP = func(ctx context.Context, probes worker.Probes, _ worker.Appender) error {
			told <- probes
			<-ctx.Done()
			return nil
		}
	})
	worker.StuckAfter(r, 200*time.Millisecond)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	probes := <-told
	<-db.beats // and it does not return
	await(t, "word of the heartbeat", func() bool { return probes.Stuck() != "" })
	signs := s.count("alive")
	await(t, "the status", func() bool { return s.count("stuck: "+r.Stuck()) > 3 })
	if now := s.count("alive"); now > signs+1 { // one may have been on its way
		t.Errorf("%d signs of life while it was stuck", now-signs)
	}
	close(db.release)
	await(t, "more signs of life", func() bool { return s.count("alive") > signs+1 })
	go func() {
		for range db.beats { // those that come until the end
		}
	}()
	drain()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(db.beats)
}

// endless is a handler that does not return from its first record until it is released.
type endless struct{ begun, release chan struct{} }

func (e endless) Begin(context.Context, event.Batch, []event.Record) (bus.Session, error) {
	return e, nil
}

func (e endless) Handle(context.Context, event.Record) (string, error) {
	close(e.begun)
	<-e.release
	return "applied", nil
}

func (e endless) Skip(context.Context, event.Record) (string, error) { return "rejected", nil }

func (e endless) Finish(context.Context) error { return nil }

func TestAReplicaWhoseHandlerDoesNotReturnIsStuck(t *testing.T) {
	db := storagetest.Ready(t, dbtest.SQLite(t))
	appendAll(t, db, []event.Event{register(1)})
	b := bus.New(db, bus.Options{Logger: silent})
	t.Cleanup(func() { b.Close() })
	h := endless{make(chan struct{}), make(chan struct{})}
	sub, err := b.Subscriber(bus.SubscriberOptions{Group: "endless", Handler: h, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	router, err := bus.NewRouter(silent, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	router.Handle("endless", event.Topic, sub)
	if err := router.Start(storagetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	r := replica(t, db, nil)
	worker.StuckAfter(r, 100*time.Millisecond)
	worker.Watch(r, sub)
	<-h.begun
	await(t, "word of the handler", func() bool { return strings.Contains(r.Stuck(), "a handler has been at one batch") })
	close(h.release)
	await(t, "the end of the batch", func() bool { return r.Stuck() == "" })
	if err := router.Close(); err != nil {
		t.Error(err)
	}
}
