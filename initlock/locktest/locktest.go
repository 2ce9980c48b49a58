// Package locktest holds the suite that every initlock.Locker and initlock.Marker passes, and Memory, a pair of them in
// memory for tests and examples.
package locktest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/initlock"
)

// patience is how long anything may take that is to happen at once.
const patience = time.Minute

// Backend is one database, empty at first.
type Backend struct {
	// Open gives a locker and a marker on the database, as a process of its own has them. Their resources are given
	// back at the end of the test.
	Open func(testing.TB) (initlock.Locker, initlock.Marker)
	// Kill takes the lock from a lease as the death of its process or its session would.
	Kill func(testing.TB, initlock.Lease)
}

// Run runs the suite; fresh makes an empty database for each of its tests.
func Run(t *testing.T, fresh func(testing.TB) Backend) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"reading an empty database finds nothing and makes nothing", testEmpty},
		{"the lock is refused while another has it and free after that", testLock},
		{"the marker tells what a leader does and how it ended", testMarker},
		{"a leader that was overtaken declares nothing", testFenced},
		{"a lock dies with its holder", testKilled},
		{"who waits for the marker is woken where the database can tell", testChanged},
		{"twenty that all want to lead do so one after another", testTurns},
		{"of twenty started at once one leads and the others follow", testFollow},
		{"work that leaves an older revision makes the next to come lead, and a newer schema is left alone", testOlder},
		{"a failure reaches those who waited and not those who come later", testFailure},
		{"the work of a dead leader is taken over", testTakeover},
		{"the work dies with the lock and is taken over", testDeathInWork},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, fresh(t))
		})
	}
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares two records but for their times.
func same(t testing.TB, got, want initlock.Record) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(initlock.Record{}, "StartedAt", "FinishedAt")); d != "" {
		t.Errorf("marker (-want +got):\n%s", d)
	}
}

func read(t testing.TB, m initlock.Marker) initlock.Record {
	t.Helper()
	rec, err := m.Read(bounded(t))
	must(t, err)
	return rec
}

// lock takes the lock as soon as it is free: a lock whose holder was killed may take the database a moment to notice.
func lock(t testing.TB, l initlock.Locker, name string) initlock.Lease {
	t.Helper()
	ctx := bounded(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		lease, err := l.TryLock(ctx, name)
		if !errors.Is(err, initlock.ErrLocked) {
			must(t, err)
			return lease
		}
		<-tick.C
	}
}

// bury releases a lease that has lost its lock, which may say so.
func bury(t testing.TB, l initlock.Lease) {
	if err := l.Release(bounded(t)); err != nil {
		t.Logf("release of a lost lock: %v", err)
	}
}

func begin(t testing.TB, l initlock.Lease, digest string) int64 {
	t.Helper()
	epoch, err := l.Begin(bounded(t), initlock.Record{Digest: digest, Holder: "leader", Revision: "r9", OldestCompatible: "r8"})
	must(t, err)
	return epoch
}

func testEmpty(t *testing.T, b Backend) {
	l, m := b.Open(t)
	for range 2 {
		same(t, read(t, m), initlock.Record{})
	}
	if h, held, err := l.Holder(bounded(t)); err != nil || held {
		t.Errorf("holder %+v, %t, %v; want none", h, held, err)
	}
	lease := lock(t, l, "one")
	rec, err := lease.Read(bounded(t))
	must(t, err)
	same(t, rec, initlock.Record{})
	must(t, lease.Release(bounded(t)))
	same(t, read(t, m), initlock.Record{})
}

func testLock(t *testing.T, b Backend) {
	one, _ := b.Open(t)
	two, _ := b.Open(t)
	lease := lock(t, one, "one")
	for _, l := range []initlock.Locker{one, two} {
		if _, err := l.TryLock(bounded(t), "two"); !errors.Is(err, initlock.ErrLocked) {
			t.Errorf("a second lock: %v; want ErrLocked", err)
		}
	}
	h, held, err := two.Holder(bounded(t))
	must(t, err)
	if !held || !strings.Contains(h.Name, "one") || time.Since(h.Since).Abs() > time.Minute {
		t.Errorf("holder %+v, %t; want one, since just now", h, held)
	}
	must(t, lease.Release(bounded(t)))
	if h, held, err := two.Holder(bounded(t)); err != nil || held {
		t.Errorf("holder after the release: %+v, %t, %v", h, held, err)
	}
	again, err := two.TryLock(bounded(t), "two")
	must(t, err)
	must(t, again.Release(bounded(t)))
}

func testMarker(t *testing.T, b Backend) {
	l, _ := b.Open(t)
	_, m := b.Open(t)
	ctx := bounded(t)

	lease := lock(t, l, "one")
	epoch := begin(t, lease, "d1")
	rec := read(t, m)
	want := initlock.Record{State: initlock.Running, Epoch: 1, Digest: "d1", Holder: "leader"}
	same(t, rec, want)
	if epoch != 1 || time.Since(rec.StartedAt).Abs() > time.Minute || !rec.FinishedAt.IsZero() {
		t.Errorf("epoch %d, from %s to %s", epoch, rec.StartedAt, rec.FinishedAt)
	}
	must(t, lease.Finish(ctx, initlock.Record{State: initlock.Ready, Epoch: 1, Revision: "r1", OldestCompatible: "r0"}))
	rec = read(t, m)
	want.State, want.Revision, want.OldestCompatible = initlock.Ready, "r1", "r0"
	same(t, rec, want)
	if rec.FinishedAt.Before(rec.StartedAt) {
		t.Errorf("from %s to %s", rec.StartedAt, rec.FinishedAt)
	}
	must(t, lease.Release(ctx))

	lease = lock(t, l, "two")
	begin(t, lease, "d2")
	want.State, want.Epoch, want.Digest = initlock.Running, 2, "d2"
	same(t, read(t, m), want)
	must(t, lease.Finish(ctx, initlock.Record{State: initlock.Failed, Epoch: 2, Error: "no room; é", Code: 65}))
	must(t, lease.Release(ctx))
	want.State, want.Error, want.Code = initlock.Failed, "no room; é", 65
	same(t, read(t, m), want)

	lease = lock(t, l, "three")
	begin(t, lease, "d2")
	want.State, want.Epoch, want.Error, want.Code = initlock.Running, 3, "", 0
	same(t, read(t, m), want)
	must(t, lease.Release(ctx))
}

func testFenced(t *testing.T, b Backend) {
	l, m := b.Open(t)
	old := lock(t, l, "old")
	epoch := begin(t, old, "d1")
	b.Kill(t, old)
	defer bury(t, old)
	lease := lock(t, l, "new")
	begin(t, lease, "d1")
	want := read(t, m)
	if err := old.Finish(bounded(t), initlock.Record{State: initlock.Ready, Epoch: epoch}); err == nil {
		t.Error("the overtaken leader declared the database ready")
	}
	for _, s := range []initlock.State{initlock.Ready, initlock.Failed} {
		if err := lease.Finish(bounded(t), initlock.Record{State: s, Epoch: epoch}); !errors.Is(err, initlock.ErrFenced) {
			t.Errorf("declaring %s for an epoch of the past: %v; want ErrFenced", s, err)
		}
	}
	same(t, read(t, m), want)
	must(t, lease.Release(bounded(t)))
}

func testKilled(t *testing.T, b Backend) {
	one, _ := b.Open(t)
	two, m := b.Open(t)
	killed := lock(t, one, "one")
	begin(t, killed, "d1")
	b.Kill(t, killed)
	lease := lock(t, two, "two")
	same(t, read(t, m), initlock.Record{State: initlock.Running, Epoch: 1, Digest: "d1", Holder: "leader"})
	bury(t, killed)
	if _, err := one.TryLock(bounded(t), "one"); !errors.Is(err, initlock.ErrLocked) {
		t.Errorf("the lost lock was released a second time, from under its new holder: %v", err)
	}
	must(t, lease.Release(bounded(t)))
}

func testChanged(t *testing.T, b Backend) {
	l, _ := b.Open(t)
	_, m := b.Open(t)
	lease := lock(t, l, "one")
	epoch := begin(t, lease, "d1")
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	changed := m.Changed(ctx)
	if changed == nil {
		t.Log("this database cannot tell")
		must(t, lease.Release(bounded(t)))
		return
	}
	// The first value may say no more than that somebody listens now.
	must(t, lease.Finish(bounded(t), initlock.Record{State: initlock.Failed, Epoch: epoch}))
	receive(t, changed)
	must(t, lease.Finish(bounded(t), initlock.Record{State: initlock.Ready, Epoch: epoch}))
	receive(t, changed)
	cancel()
	for range changed { // until it closes
	}
	must(t, lease.Release(bounded(t)))
}

func receive(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case _, open := <-c:
		if !open {
			t.Fatal("the channel closed before its context ended")
		}
	case <-time.After(patience):
		t.Fatal("nobody said that the marker changed")
	}
}

// happens waits for a channel to close.
func happens(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it did not happen")
	}
}
