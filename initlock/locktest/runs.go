package locktest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safebox/safebox/initlock"
)

// many is how many processes start at once.
const many = 20

// lastReady bounds how long after the leader the last of many is ready. What it takes on an idle machine is logged.
const lastReady = 10 * time.Second

// Codes that only these tests give.
const codeOfTest = 65

var errWork = errors.New("two wallets have one handle")

// Watcher is an initlock.Observer that tells when a process waits.
type Watcher struct {
	Waiting chan struct{} // closed when it first waits
	once    sync.Once
}

// NewWatcher makes a Watcher.
func NewWatcher() *Watcher { return &Watcher{Waiting: make(chan struct{})} }

// InitState implements initlock.Observer.
func (w *Watcher) InitState(s string) {
	if s == "waiting" {
		w.once.Do(func() { close(w.Waiting) })
	}
}

// InitPhase implements initlock.Observer.
func (w *Watcher) InitPhase(string, time.Duration) {}

// InitElection implements initlock.Observer.
func (w *Watcher) InitElection(initlock.Outcome) {}

type end struct {
	initlock.Result
	err error
	at  time.Time
}

// run starts a process, and returns how it ended and what it told while it ran.
func run(t testing.TB, b Backend, o initlock.Options, work func(context.Context, initlock.Lease) error) (<-chan end, *Watcher) {
	l, m := b.Open(t)
	w := NewWatcher()
	o.Observer = w
	if o.Digest == "" {
		o.Digest, o.Revision, o.OldestCompatible = "d1", "r1", "r1"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Code = func(error) int { return codeOfTest }
	ended := make(chan end, 1)
	go func() {
		res, err := initlock.Run(bounded(t), l, m, o, work)
		ended <- end{res, err, time.Now()}
	}()
	return ended, w
}

func noWork(context.Context, initlock.Lease) error { return nil }

func testTurns(t *testing.T, b Backend) {
	var inside, most, done atomic.Int64
	var all []<-chan end
	for range many {
		ended, _ := run(t, b, initlock.Options{Force: true}, func(ctx context.Context, l initlock.Lease) error {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			_, err := l.Read(ctx)
			done.Add(1)
			return err
		})
		all = append(all, ended)
	}
	for _, ended := range all {
		if e := <-ended; e.err != nil || e.Outcome != initlock.OutcomeLed {
			t.Errorf("%s: %v", e.Outcome, e.err)
		}
	}
	_, m := b.Open(t)
	if rec := read(t, m); most.Load() != 1 || done.Load() != many || rec.Epoch != many || rec.State != initlock.Ready {
		t.Errorf("%d worked, %d at most at once, and the marker is %+v", done.Load(), most.Load(), rec)
	}
}

func testFollow(t *testing.T, b Backend) {
	var worked atomic.Int64
	working, hold := make(chan struct{}, many), make(chan struct{})
	var ends []<-chan end
	var watchers []*Watcher
	for range many {
		ended, w := run(t, b, initlock.Options{}, func(ctx context.Context, _ initlock.Lease) error {
			worked.Add(1)
			initlock.Note(ctx, "making tables")
			working <- struct{}{}
			<-hold
			return nil
		})
		ends, watchers = append(ends, ended), append(watchers, w)
	}
	waiting := make(chan struct{}, many)
	for _, w := range watchers {
		go func() {
			<-w.Waiting
			waiting <- struct{}{}
		}()
	}
	receive(t, working)
	for range many - 1 {
		receive(t, waiting)
	}
	_, m := b.Open(t)
	if rec := read(t, m); rec.State != initlock.Running {
		t.Errorf("while the leader works the marker is %+v", rec)
	}
	close(hold)
	outcomes := map[initlock.Outcome]int{}
	var led, last time.Time
	for _, ended := range ends {
		e := <-ended
		if e.err != nil || e.Record.State != initlock.Ready || e.Record.Epoch != 1 {
			t.Errorf("%s %+v: %v", e.Outcome, e.Record, e.err)
		}
		outcomes[e.Outcome]++
		if e.Outcome == initlock.OutcomeLed {
			led = e.at
		}
		if e.at.After(last) {
			last = e.at
		}
	}
	if worked.Load() != 1 || outcomes[initlock.OutcomeLed] != 1 || outcomes[initlock.OutcomeFollowed] != many-1 {
		t.Errorf("%d worked; %v", worked.Load(), outcomes)
	}
	if took := last.Sub(led); took > lastReady {
		t.Errorf("the last was ready %s after the leader", took)
	} else {
		t.Logf("the last of %d was ready %s after the leader", many, took)
	}
	for _, w := range watchers { // the leader never waited
		w.InitState("waiting")
	}
	ended, _ := run(t, b, initlock.Options{}, noWork)
	if e := <-ended; e.err != nil || e.Outcome != initlock.OutcomeAlreadyReady {
		t.Errorf("who came later: %s, %v", e.Outcome, e.err)
	}
}

func testOlder(t *testing.T, b Backend) {
	led := func(what, digest, revision string, o initlock.Options) {
		t.Helper()
		ended, _ := run(t, b, o, noWork)
		e := <-ended
		if e.err != nil || e.Outcome != initlock.OutcomeLed || e.Record.Digest != digest || e.Record.Revision != revision {
			t.Fatalf("%s: %s %+v, %v", what, e.Outcome, e.Record, e.err)
		}
	}
	led("the first", "d1", "r1", initlock.Options{})
	down := initlock.Options{Digest: "schema r0", Revision: "r0", OldestCompatible: "r0", Known: "r1", Force: true}
	led("who goes back", "schema r0", "r0", down)
	led("who goes back to nothing", "schema ", "", initlock.Options{Digest: "schema ", Known: "r1", Force: true})
	led("the next to come", "d1", "r1", initlock.Options{})

	newer := initlock.Options{Digest: "d2", Revision: "r2", OldestCompatible: "r2"}
	led("a newer build", "d2", "r2", newer)
	ended, _ := run(t, b, down, noWork)
	var refused *initlock.IncompatibleError
	if e := <-ended; !errors.As(e.err, &refused) || refused.Known != "r1" || refused.Schema != "r2" {
		t.Errorf("who would take a newer schema back: %s %+v, %v", e.Outcome, e.Record, e.err)
	}
}

func testFailure(t *testing.T, b Backend) {
	hold := make(chan struct{})
	leading := make(chan struct{})
	leader, _ := run(t, b, initlock.Options{Name: "leader"}, func(context.Context, initlock.Lease) error {
		close(leading)
		<-hold
		return errWork
	})
	happens(t, leading)
	waiter, w := run(t, b, initlock.Options{}, noWork)
	happens(t, w.Waiting)
	close(hold)
	if e := <-leader; !errors.Is(e.err, errWork) || e.Outcome != initlock.OutcomeFailed {
		t.Errorf("the leader: %s, %v", e.Outcome, e.err)
	}
	e := <-waiter
	var told *initlock.LeaderError
	if !errors.As(e.err, &told) {
		t.Fatalf("the waiter: %s, %v; want a LeaderError", e.Outcome, e.err)
	}
	if told.Code != codeOfTest || told.Epoch != 1 || told.Holder != "leader" || told.Text != errWork.Error() {
		t.Errorf("the waiter was told %+v", told)
	}
	late, _ := run(t, b, initlock.Options{}, noWork)
	if e := <-late; e.err != nil || e.Outcome != initlock.OutcomeLed || e.Record.Epoch != 2 {
		t.Errorf("who came later: %s %+v, %v", e.Outcome, e.Record, e.err)
	}
}

func testTakeover(t *testing.T, b Backend) {
	l, _ := b.Open(t)
	dead := lock(t, l, "dead")
	begin(t, dead, "d1")
	waiter, w := run(t, b, initlock.Options{}, noWork)
	happens(t, w.Waiting)
	b.Kill(t, dead)
	defer bury(t, dead)
	if e := <-waiter; e.err != nil || e.Outcome != initlock.OutcomeLed || e.Record.Epoch != 2 {
		t.Errorf("%s %+v, %v", e.Outcome, e.Record, e.err)
	}
}

func testDeathInWork(t *testing.T, b Backend) {
	hold := make(chan struct{})
	leading := make(chan struct{})
	leader, _ := run(t, b, initlock.Options{}, func(ctx context.Context, l initlock.Lease) error {
		b.Kill(t, l)
		close(leading)
		<-hold
		_, err := l.Read(ctx)
		return err
	})
	happens(t, leading)
	other, _ := run(t, b, initlock.Options{}, noWork)
	if e := <-other; e.err != nil || e.Outcome != initlock.OutcomeLed || e.Record.Epoch != 2 {
		t.Errorf("who took over: %s %+v, %v", e.Outcome, e.Record, e.err)
	}
	close(hold)
	if e := <-leader; e.err == nil {
		t.Errorf("the leader that lost the lock ended with %s", e.Outcome)
	}
	_, m := b.Open(t)
	if rec := read(t, m); rec.State != initlock.Ready || rec.Epoch != 2 {
		t.Errorf("the marker is %+v", rec)
	}
}
