package bus

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

// heads are positions of 10 in each of the partitions.
func heads(partitions ...int) (p event.Positions) {
	for _, i := range partitions {
		p[i] = 10
	}
	return p
}

func take(t *testing.T, b *board) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ps, _, ok := b.take(ctx)
	if !ok || len(ps) != 1 {
		t.Fatalf("the board gave %v, want one partition", ps)
	}
	return ps[0]
}

func TestABusyPartitionDoesNotStarveTheOthers(t *testing.T) {
	b := newBoard(100, 1, 0)
	b.news(heads(3, 40, 60), event.Positions{})
	taken := map[int]int{}
	for range 9 {
		p := take(t, b)
		taken[p]++
		b.give([]int{p}, []report{{seen: 1, ours: true}}) // each has more
	}
	for _, p := range []int{3, 40, 60} {
		if taken[p] != 3 {
			t.Errorf("partition %d was taken %d times of 9, want 3", p, taken[p])
		}
	}
}

func TestAPartitionIsTakenByOneLaneAtATime(t *testing.T) {
	b := newBoard(100, 1, 0)
	b.news(heads(7), event.Positions{})
	if p := take(t, b); p != 7 {
		t.Fatalf("took %d", p)
	}
	b.news(event.Positions{7: 11}, event.Positions{})
	if ps, _, later := b.pick(time.Now()); ps != nil || later != 0 {
		t.Errorf("pick = %d, %s; want nothing to do", ps, later)
	}
	b.give([]int{7}, []report{{seen: 10, ours: true}})
	if p := take(t, b); p != 7 {
		t.Errorf("took %d, want 7, which has one more", p)
	}
}

func TestALaneIsWokenByNewsByAPartitionGivenBackAndByTheEndOfAPause(t *testing.T) {
	for name, c := range map[string]struct{ before, then func(*board) }{
		"news": {func(*board) {}, func(b *board) { b.news(heads(1), event.Positions{}) }},
		"a partition given back": {
			func(b *board) { b.news(heads(1), event.Positions{}); b.pick(time.Now()) },
			func(b *board) { b.give([]int{1}, []report{{seen: 5, ours: true}}) },
		},
		"the end of a pause": {
			func(b *board) { b.news(heads(1), event.Positions{}); b.pick(time.Now()) },
			func(b *board) { b.give([]int{1}, []report{{seen: -1, ours: true, pause: 5 * time.Millisecond}}) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(100, 1, 0)
			c.before(b)
			taken := make(chan int)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			go func() {
				ps, _, _ := b.take(ctx)
				taken <- ps[0]
			}()
			c.then(b)
			if p := <-taken; p != 1 {
				t.Errorf("took %d, want 1", p)
			}
		})
	}
}

// What comes in slowly is taken together, and does not keep a long backlog from its turn.
func TestPartitionsWithFewRecordsAreTakenTogether(t *testing.T) {
	b := newBoard(100, 4, 0) // few are 25
	b.next = 0
	b.news(event.Positions{1: 3, 2: 500, 3: 25, 5: 26, 7: 1, 8: 1, 9: 1}, event.Positions{})
	type turn struct {
		Partitions []int
		Limit      int
	}
	want := []turn{{[]int{1, 3, 7, 8}, 25}, {[]int{2}, 100}, {[]int{5}, 100}, {[]int{9}, 100}}
	for i, w := range want {
		ps, limit, _ := b.pick(time.Now())
		if diff := cmp.Diff(w, turn{ps, limit}); diff != "" {
			t.Fatalf("turn %d (-want +got):\n%s", i+1, diff)
		}
	}
	// One that failed among others is alone; so is one in trouble, and one that takes fewer records at once.
	b.give([]int{1, 3, 7, 8}, []report{
		{seen: -1, ours: true, alone: true}, {seen: -1, ours: true}, {seen: -1, ours: true, limit: 5}, {seen: -1, ours: true, trouble: trouble{failures: 1}},
	})
	b.next = 0
	for i, w := range []turn{{[]int{1}, 100}, {[]int{3}, 100}, {[]int{7}, 5}, {[]int{8}, 100}} {
		ps, limit, _ := b.pick(time.Now())
		if diff := cmp.Diff(w, turn{ps, limit}); diff != "" {
			t.Fatalf("turn %d after a failure (-want +got):\n%s", i+1, diff)
		}
	}
}

// Who loses a partition again and again comes ever more rarely, and learns nothing by it.
func TestAnOnlookerStepsBack(t *testing.T) {
	b := newBoard(100, 1, 0)
	b.news(heads(1), event.Positions{})
	b.parts[1].trouble, b.parts[1].alone, b.parts[1].limit = trouble{failures: 2}, true, 7
	before := b.parts[1]
	for n := 1; n <= 12; n++ {
		now := time.Now()
		b.pick(now.Add(time.Hour))
		b.give([]int{1}, []report{{claimed: true}})
		longest := min(longestClaimedPause, claimedPause<<(n-1))
		if pause := b.parts[1].notBefore.Sub(now); pause < longest/2 || pause > longest+time.Minute {
			t.Errorf("loss %d: a pause of %s, want %s to %s", n, pause, longest/2, longest)
		}
	}
	after := b.parts[1]
	after.lost, after.notBefore, after.keeper, after.since, after.grace = before.lost, before.notBefore, before.keeper, before.since, before.grace
	after.picked = before.picked
	if after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	b.pick(time.Now().Add(time.Hour))
	b.give([]int{1}, []report{{seen: 10, ours: true}})
	if b.parts[1].lost != 0 {
		t.Error("its losses are remembered after it had the partition")
	}
}

// Work stays with the subscriber that had the partition last, as long as that one goes on.
func TestWorkIsLeftToTheSubscriberThatHadThePartitionLast(t *testing.T) {
	b := newBoard(100, 1, 0)
	b.news(heads(1), event.Positions{1: 10}) // the first look: nobody knows whose it is
	b.news(event.Positions{1: 11}, event.Positions{})
	if take(t, b) != 1 {
		t.Fatal("the first work is not taken")
	}
	b.give([]int{1}, []report{{seen: 11}}) // but another one was faster
	b.news(event.Positions{1: 12}, event.Positions{})
	soon := func() []int {
		t.Helper()
		ps, _, later := b.pick(time.Now())
		left, still := b.left()
		if (len(ps) == 0) != (later > 0 && later <= foreignGrace) || (len(ps) == 0) != slices.Equal(left, []int{1}) || still > foreignGrace {
			t.Errorf("picked %v, next in %s, left %v for %s", ps, later, left, still)
		}
		return ps
	}
	if ps := soon(); ps != nil {
		t.Errorf("%v is taken at once from who had it last", ps)
	}
	b.news(event.Positions{1: 13}, event.Positions{1: 12}) // that one goes on
	if ps := soon(); ps != nil {
		t.Errorf("%v is taken at once from who is at work on it", ps)
	}
	if ps, _, _ := b.pick(time.Now().Add(foreignGrace)); len(ps) != 1 {
		t.Fatal("nobody helps who does not go on")
	}
	b.give([]int{1}, []report{{seen: 13, ours: true}})
	b.news(event.Positions{1: 14}, event.Positions{})
	if ps := soon(); len(ps) != 1 {
		t.Error("it is not ours after we had it")
	}
}

// Announcements are hints: one that lies costs one claim.
func TestAnEmptyClaimEndsWhatWasAnnounced(t *testing.T) {
	b := newBoard(100, 1, 0)
	b.news(event.Positions{1: 1 << 60}, event.Positions{})
	take(t, b)
	b.give([]int{1}, []report{{seen: 5}})
	if ps, _, later := b.pick(time.Now().Add(time.Hour)); ps != nil || later != 0 {
		t.Errorf("%v is picked again, or in %s", ps, later)
	}
	b.news(event.Positions{1: 6}, event.Positions{})
	b.pick(time.Now().Add(time.Hour))
	b.news(event.Positions{1: 7}, event.Positions{}) // while the claim found nothing
	b.give([]int{1}, []report{{seen: 6}})
	if ps, _, _ := b.pick(time.Now().Add(time.Hour)); ps == nil {
		t.Error("what was announced meanwhile is forgotten")
	}
}

func TestWhatAnotherSubscriberHasProcessedIsNoWork(t *testing.T) {
	b := newBoard(100, 1, 0)
	if !b.behind(heads(1)) {
		t.Error("a log with events is not news to an empty board")
	}
	b.news(heads(1, 2), event.Positions{1: 10})
	if p := take(t, b); p != 2 {
		t.Errorf("took %d, want 2", p)
	}
	b.give([]int{2}, []report{{seen: 10, ours: true}})
	b.news(heads(1, 2), event.Positions{2: 9}) // read before the lane's commit
	if b.behind(heads(1, 2)) {
		t.Error("the board has forgotten what it had seen")
	}
}

func TestPausesGrowToABound(t *testing.T) {
	for n := 1; n <= 100; n++ {
		d := min(longestPause, firstPause<<min(n-1, 20))
		for range 20 {
			if got := backoff(n); got < d/2 || got > d {
				t.Fatalf("pause after failure %d: %s, want between %s and %s", n, got, d/2, d)
			}
		}
	}
}
