package bus

import "time"

// crowd is the lanes at work, and how many of them do any good: while lanes wait for one another's rows, each one more only
// takes processor time from the one that has them. It is guarded by its board.
type crowd struct {
	lanes  int // that there are; 0: as many as come
	wanted int // that may be at work
	atWork int
	moved  time.Time // when a lane last began or ended a batch

	batches      int // since wanted was thought over
	took, waited time.Duration
}

// crowdSample is how many batches tell whether there are too many lanes, or too few.
const crowdSample = 8

// standBack is how long the lanes that are not wanted leave the work to those at it, where none of these comes back.
const standBack = 100 * time.Millisecond

func newCrowd(lanes int) crowd { return crowd{lanes: lanes, wanted: 1} }

// pause is how long one lane more stands back.
func (c *crowd) pause(now time.Time) time.Duration {
	if c.atWork < c.wanted || c.lanes == 0 {
		return 0
	}
	return max(0, c.moved.Add(standBack).Sub(now))
}

func (c *crowd) enter(now time.Time) { c.atWork, c.moved = c.atWork+1, now }

// leave counts a batch, how long it took and how long of that it waited for rows. It tells whether a lane more is wanted.
func (c *crowd) leave(now time.Time, took, waited time.Duration) (more bool) {
	c.atWork, c.moved = c.atWork-1, now
	c.batches, c.took, c.waited = c.batches+1, c.took+took, c.waited+waited
	if c.batches < crowdSample || c.took == 0 {
		return false
	}
	waiting := float64(c.wanted) * c.waited.Seconds() / c.took.Seconds() // lanes, at a time
	c.batches, c.took, c.waited = 0, 0, 0
	switch {
	case waiting > 1 && c.wanted > 1:
		c.wanted--
	case waiting < 0.25 && c.wanted < c.lanes:
		c.wanted++
		return true
	}
	return false
}
