package bus

import (
	"testing"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// crowded is a board of four lanes with more work than they can do.
func crowded() *board {
	b := newBoard(100, 1, 4)
	var far event.Positions
	for p := range far {
		far[p] = 1_000_000
	}
	b.news(far, event.Positions{})
	return b
}

// fill lets lanes take partitions, all at one moment, until no more may, and returns what they took.
func fill(b *board) (taken [][]int) {
	now := time.Now()
	for {
		ps, _, _ := b.pick(now)
		if len(ps) == 0 {
			return taken
		}
		taken = append(taken, ps)
	}
}

// drain has the lanes process batches of which each lane beyond so many waits all the time, and tells how many are at work then.
func drain(b *board, useful int) int {
	for range 40 {
		taken := fill(b)
		waited := time.Duration(max(0, len(taken)-useful)) * 10 * time.Millisecond / time.Duration(len(taken))
		for _, ps := range taken {
			b.give(ps, []report{{seen: 1, ours: true, took: 10 * time.Millisecond, waited: waited}})
		}
	}
	return len(fill(b))
}

func TestLanesThatWaitForOneAnotherStandBack(t *testing.T) {
	if n := len(fill(crowded())); n != 1 {
		t.Errorf("%d lanes began, want one", n)
	}
	// That one lane waits at times is no reason to stand back: it is what lets the others never wait.
	for useful, want := range map[int]int{4: 4, 3: 4, 2: 3, 1: 2} {
		b := crowded()
		if n := drain(b, useful); n > want || n < useful {
			t.Errorf("%d lanes are at work where %d do any good, want up to %d", n, useful, want)
		}
	}
}

func TestLanesComeBackWhenNobodyWaits(t *testing.T) {
	b := crowded()
	drain(b, 1)
	for p := range b.parts {
		b.parts[p].taken = false
	}
	b.crowd.atWork = 0
	if n := drain(b, 4); n != 4 {
		t.Errorf("%d lanes are at work, want all 4", n)
	}
}

// A lane that is not wanted does not leave the work to those at it where they do not come back: they may be stuck.
func TestALaneThatStandsBackStepsInForThoseThatAreStuck(t *testing.T) {
	b := crowded()
	begun := time.Now()
	if ps, _, _ := b.pick(begun); len(ps) != 1 {
		t.Fatalf("took %v", ps)
	}
	ps, _, later := b.pick(begun.Add(standBack / 2))
	if len(ps) != 0 || later <= 0 || later > standBack/2 {
		t.Errorf("a second lane took %v, and comes again after %s; want none, and the rest of %s", ps, later, standBack)
	}
	if ps, _, _ := b.pick(begun.Add(standBack)); len(ps) != 1 {
		t.Errorf("a second lane took %v after %s in which the first did not come back", ps, standBack)
	}
	if ps, _, _ := b.pick(begun.Add(standBack + standBack/2)); len(ps) != 0 {
		t.Errorf("a third lane took %v right after", ps)
	}
}
