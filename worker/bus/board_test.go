package bus

import (
	"context"
	"testing"
	"time"

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
	p, _, ok := b.take(ctx)
	if !ok {
		t.Fatal("the board had nothing to do")
	}
	return p
}

func TestABusyPartitionDoesNotStarveTheOthers(t *testing.T) {
	b := newBoard(100)
	b.news(heads(3, 40, 60), event.Positions{})
	taken := map[int]int{}
	for range 9 {
		p := take(t, b)
		taken[p]++
		b.give(p, report{seen: 1}) // each has more
	}
	for _, p := range []int{3, 40, 60} {
		if taken[p] != 3 {
			t.Errorf("partition %d was taken %d times of 9, want 3", p, taken[p])
		}
	}
}

func TestAPartitionIsTakenByOneLaneAtATime(t *testing.T) {
	b := newBoard(100)
	b.news(heads(7), event.Positions{})
	if p := take(t, b); p != 7 {
		t.Fatalf("took %d", p)
	}
	b.news(event.Positions{7: 11}, event.Positions{})
	if p, _, later := b.pick(time.Now()); p != -1 || later != 0 {
		t.Errorf("pick = %d, %s; want nothing to do", p, later)
	}
	b.give(7, report{seen: 10})
	if p := take(t, b); p != 7 {
		t.Errorf("took %d, want 7, which has one more", p)
	}
}

func TestALaneIsWokenByNewsByAPartitionGivenBackAndByTheEndOfAPause(t *testing.T) {
	for name, c := range map[string]struct{ before, then func(*board) }{
		"news": {func(*board) {}, func(b *board) { b.news(heads(1), event.Positions{}) }},
		"a partition given back": {
			func(b *board) { b.news(heads(1), event.Positions{}); b.pick(time.Now()) },
			func(b *board) { b.give(1, report{seen: 5}) },
		},
		"the end of a pause": {
			func(b *board) { b.news(heads(1), event.Positions{}); b.pick(time.Now()) },
			func(b *board) { b.give(1, report{seen: -1, pause: 5 * time.Millisecond}) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(100)
			c.before(b)
			taken := make(chan int)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			go func() {
				p, _, _ := b.take(ctx)
				taken <- p
			}()
			c.then(b)
			if p := <-taken; p != 1 {
				t.Errorf("took %d, want 1", p)
			}
		})
	}
}

func TestWhatAnotherSubscriberHasProcessedIsNoWork(t *testing.T) {
	b := newBoard(100)
	if !b.behind(heads(1)) {
		t.Error("a log with events is not news to an empty board")
	}
	b.news(heads(1, 2), event.Positions{1: 10})
	if p := take(t, b); p != 2 {
		t.Errorf("took %d, want 2", p)
	}
	b.give(2, report{seen: 10})
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
