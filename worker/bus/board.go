package bus

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// board is what a subscription knows of its partitions: where the log ends, where the cursor was last seen, which ones a
// lane has, and which ones are in trouble. It hands out partitions with work, round robin, from a random start so that
// replicas do not all go for the same one.
type board struct {
	mu      sync.Mutex
	parts   [event.Partitions]part
	next    int
	batch   int
	begun   bool // a look has told where the cursors are
	crowd   crowd
	most    int           // partitions with few records each that are handed out together
	changed chan struct{} // closed and replaced when there may be new work
}

type part struct {
	head, seen int64
	picked     int64 // head when it was handed out
	taken      bool
	notBefore  time.Time
	limit      int // 0: the board's batch
	alone      bool
	lost       int // how often in a row another lane had it
	keeper     keeper
	since      time.Time     // when it got work, or somebody was last seen at work on it
	grace      time.Duration // how long from then on it is left to another subscriber
	trouble    trouble
	handling   time.Time // since when a handler has been at its batch; zero: none is
}

// keeper is who processed a partition last.
type keeper int8

const (
	unknown keeper = iota
	us
	others
)

// trouble is what a lane remembers of a partition that fails, until it goes well again.
type trouble struct {
	failures int   // in a row, of any kind: they lengthen the pause
	position int64 // of the record that stands alone and fails
	attempts int   // of that record
	cause    string
	park     bool // the next lane parks that record
}

// report is how a lane's batch went.
type report struct {
	seen    int64 // the cursor, as far as the lane learned it; −1: it did not
	pause   time.Duration
	limit   int  // of the next batch; 0: the board's batch
	alone   bool // the next batch is of this partition alone
	claimed bool // another lane has the partition: nothing was learned
	ours    bool // records were processed, or tried
	trouble trouble
	// Of the batch, in the first of its reports: how long it took, and how long of that it waited for rows of others.
	took, waited time.Duration
}

// newBoard makes the board of so many lanes; 0: any number.
func newBoard(batch, most, lanes int) *board {
	return &board{batch: batch, most: most, crowd: newCrowd(lanes), next: rand.IntN(event.Partitions), changed: make(chan struct{})}
}

// behind tells whether the log goes on after the cursors that the board knows.
func (b *board) behind(heads event.Positions) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.parts {
		if heads[p] > b.parts[p].seen {
			return true
		}
	}
	return false
}

// news takes what was heard of the log. Positions only grow: old news are no news.
func (b *board) news(heads, cursors event.Positions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	bold, minor := b.standing(now)
	grown := false
	for p := range b.parts {
		part := &b.parts[p]
		if cursors[p] > part.seen {
			part.seen = cursors[p]
			if b.begun && !part.taken || part.keeper == others {
				part.leave(now)
			}
		}
		if heads[p] > part.head {
			if part.head <= part.seen {
				part.since, part.grace = now, part.graceOf(bold, minor)
			}
			part.head = heads[p]
			grown = grown || part.head > part.seen
		}
	}
	b.begun = true
	if grown {
		b.broadcast()
	}
}

// resync takes over what the log says, also backwards: a server that was restored, or a standby that took over, may have lost
// the last commits. A cursor that has moved on since it was read costs an empty claim.
func (b *board) resync(heads, cursors event.Positions) {
	b.news(heads, cursors)
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.parts {
		if part := &b.parts[p]; !part.taken {
			part.head, part.seen = heads[p], cursors[p]
		}
	}
	b.broadcast()
}

// left returns the partitions whose work is left to another subscriber for a while, and how long the first of them still is.
func (b *board) left() (partitions []int, still time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for p := range b.parts {
		if part := &b.parts[p]; part.keeper == others && part.grace > 0 && !part.taken && part.head > part.seen {
			if left := part.due().Sub(now); len(partitions) == 0 || left < still {
				still = left
			}
			partitions = append(partitions, p)
		}
	}
	return partitions, still
}

// due is when the partition may be picked.
func (p *part) due() time.Time {
	if left := p.since.Add(p.grace); p.grace > 0 && left.After(p.notBefore) {
		return left
	}
	return p.notBefore
}

// leave leaves a partition to another subscriber, which was just seen to be there first.
func (p *part) leave(now time.Time) { p.keeper, p.since, p.grace = others, now, foreignGrace }

// graceOf is how long new work of a partition is left to another subscriber.
func (p *part) graceOf(bold, minor bool) time.Duration {
	switch {
	case p.keeper == others && !bold:
		return foreignGrace
	case p.keeper == us && minor:
		return deference
	}
	return 0
}

// standing tells how to go about new work: whether to take that of others as well, and whether to leave one's own to them for
// a moment. Who processed more of the partitions lately is the likelier to take, and who processed less than half of them
// lets others do so; in the end one has them all.
func (b *board) standing(now time.Time) (bold, minor bool) {
	if b.most == 1 {
		return false, false
	}
	ours, all := 0, 0
	for p := range b.parts {
		part := &b.parts[p]
		if part.keeper == unknown || now.Sub(part.since) > lately {
			continue
		}
		all++
		if part.keeper == us {
			ours++
		}
	}
	return ours > 0 && rand.IntN(all) < ours, 2*ours < all
}

func (b *board) broadcast() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// take waits for partitions with work and hands them to the caller, with the most records of each that it may claim; false
// when ctx is done.
func (b *board) take(ctx context.Context) (partitions []int, limit int, ok bool) {
	for {
		if ctx.Err() != nil {
			return nil, 0, false
		}
		b.mu.Lock()
		ps, limit, later := b.pick(time.Now())
		changed := b.changed
		b.mu.Unlock()
		if len(ps) > 0 {
			return ps, limit, true
		}
		var timer *time.Timer
		var due <-chan time.Time
		if later > 0 {
			timer = time.NewTimer(later)
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// pick returns the next partition that has work or, where it has few records, those that have few as well: what comes in
// slowly takes one transaction together and not one a partition. It returns none, and how long to wait for one whose pause
// ends, 0 when none has work.
func (b *board) pick(now time.Time) (picked []int, limit int, later time.Duration) {
	if pause := b.crowd.pause(now); pause > 0 {
		return nil, 0, pause
	}
	begin := b.next
	passed := false // one that has to be picked alone
	for i := range b.parts {
		p := (begin + i) % event.Partitions
		part := &b.parts[p]
		if part.taken || part.head <= part.seen {
			continue
		}
		if pause := part.due().Sub(now); pause > 0 {
			if later == 0 || pause < later {
				later = pause
			}
			continue
		}
		few := b.few(part)
		if len(picked) > 0 && !few {
			if !passed {
				passed, b.next = true, p // it comes first the next time
			}
			continue
		}
		part.taken, part.picked = true, part.head
		picked = append(picked, p)
		if !passed {
			b.next = (p + 1) % event.Partitions
		}
		if !few || len(picked) == b.most {
			break
		}
	}
	if len(picked) > 0 {
		b.crowd.enter(now)
	}
	switch {
	case len(picked) > 1:
		return picked, b.batch / b.most, 0
	case len(picked) == 1 && b.parts[picked[0]].limit > 0:
		return picked, b.parts[picked[0]].limit, 0
	case len(picked) == 1:
		return picked, b.batch, 0
	}
	return nil, 0, later
}

// few tells whether a partition has so few records that it may share a batch.
func (b *board) few(p *part) bool {
	return p.limit == 0 && !p.alone && p.trouble == (trouble{}) && p.head-p.seen <= int64(b.batch/b.most)
}

// give takes partitions back, each with its report.
func (b *board) give(partitions []int, reports []report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	_, minor := b.standing(now)
	more := b.crowd.leave(now, reports[0].took, reports[0].waited)
	for i, p := range partitions {
		part, r := &b.parts[p], reports[i]
		part.taken = false
		if r.claimed {
			part.lost++
			part.leave(now)
			part.notBefore = now.Add(onlookersPause(part.lost))
			more = true // later
			continue
		}
		part.lost = 0
		part.seen = max(part.seen, r.seen)
		if !r.ours && part.head == part.picked { // nothing is there, whatever was announced
			part.head = part.seen
		}
		part.limit = r.limit
		part.alone = r.alone
		part.trouble = r.trouble
		if r.ours {
			part.keeper, part.since = us, now
			part.grace = part.graceOf(false, minor && b.few(part))
		} else {
			part.leave(now)
		}
		part.notBefore = time.Time{}
		if r.pause > 0 {
			part.notBefore = now.Add(r.pause)
		}
		more = more || part.head > part.seen
	}
	if more {
		b.broadcast()
	}
}

// handle says since when a handler has been at p's batch; zero: it is done with it.
func (b *board) handle(p int, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[p].handling = since
}

// handling is since when the handler has been at its batch that has been for longest; zero: none is at one.
func (b *board) handling() (since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.parts {
		if at := b.parts[p].handling; !at.IsZero() && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	return since
}

func (b *board) troubleOf(p int) trouble {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parts[p].trouble
}

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 5 * time.Second
)

// foreignGrace is how long a subscriber leaves the work of a partition to the one that processed it last. So subscribers of a
// group do not all claim the same records, and one that falls behind or is gone is helped soon.
const foreignGrace = 60 * time.Millisecond

// deference is how long a subscriber that processes the fewer partitions leaves new work of its own to the others, of which
// the one that processes the more is the likelier to take it: so what comes in slowly is processed by one, in few transactions.
const deference = 10 * time.Millisecond

// lately is for how long it counts that a partition was processed.
const lately = time.Second

// claimedPause is the longest pause after another lane was found to have a partition for the first time; it doubles from one
// time to the next, up to longestClaimedPause. Who lost it leaves it to who has it, and takes it over when that one is gone.
const (
	claimedPause        = 10 * time.Millisecond
	longestClaimedPause = 320 * time.Millisecond
)

// onlookersPause is the pause after a partition was found claimed for the n-th time in a row, with jitter on its upper half, so
// that onlookers do not come all at once.
func onlookersPause(n int) time.Duration {
	d := min(longestClaimedPause, claimedPause<<min(n-1, 10))
	return d/2 + rand.N(d/2+1)
}

// backoff is the pause after the n-th failure in a row: it doubles, up to longestPause, with full jitter on its upper half.
func backoff(n int) time.Duration {
	d := longestPause
	if n < 9 {
		d = min(longestPause, firstPause<<(n-1))
	}
	return d/2 + rand.N(d/2+1)
}
