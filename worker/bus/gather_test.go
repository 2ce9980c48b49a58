package bus

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// sharedLog is a log of which several boards know, and who processed what of it.
type sharedLog struct {
	mu             sync.Mutex
	heads, cursors event.Positions
	claimed        [event.Partitions]bool
	boards         []*board
	processed      []int // records, by board
}

// append adds a record to a partition and announces it.
func (l *sharedLog) append(p int) {
	l.mu.Lock()
	l.heads[p]++
	heads := l.heads
	l.mu.Unlock()
	for _, b := range l.boards {
		b.news(heads, event.Positions{})
	}
}

// lane processes batches, which take 5 ms each, for board i until ctx is done.
func (l *sharedLog) lane(ctx context.Context, i int) {
	for {
		ps, _, ok := l.boards[i].take(ctx)
		if !ok {
			return
		}
		reports, upTo := make([]report, len(ps)), l.claim(ps)
		<-time.After(5 * time.Millisecond)
		l.mu.Lock()
		for n, p := range ps {
			to, mine := upTo[p]
			reports[n] = report{seen: to, claimed: !mine, ours: mine && to > l.cursors[p]}
			if mine {
				l.processed[i] += int(to - l.cursors[p])
				l.claimed[p], l.cursors[p] = false, to
			}
		}
		l.mu.Unlock()
		l.boards[i].give(ps, reports)
	}
}

// glance tells board i where the cursors are of what it leaves to others, until ctx is done.
func (l *sharedLog) glance(ctx context.Context, i int) {
	ticker := time.NewTicker(glancePause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		left, _ := l.boards[i].left()
		var cursors event.Positions
		l.mu.Lock()
		for _, p := range left {
			cursors[p] = l.cursors[p]
		}
		l.mu.Unlock()
		l.boards[i].news(event.Positions{}, cursors)
	}
}

// claim takes those of the partitions that are free.
func (l *sharedLog) claim(ps []int) (upTo map[int]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	upTo = map[int]int64{}
	for _, p := range ps {
		if !l.claimed[p] {
			l.claimed[p], upTo[p] = true, l.heads[p]
		}
	}
	return upTo
}

// What comes in slowly ends up with one of several subscribers, and with another one when that one is gone. So it takes few
// transactions.
func TestOneSubscriberGathersWhatComesInSlowly(t *testing.T) {
	const subscribers = 3
	synctest.Test(t, func(t *testing.T) {
		l := &sharedLog{processed: make([]int, subscribers)}
		stop := make([]context.CancelFunc, subscribers)
		for range subscribers {
			b := newBoard(500, event.Partitions, 4)
			b.news(event.Positions{}, event.Positions{})
			l.boards = append(l.boards, b)
		}
		for i := range subscribers {
			ctx, cancel := context.WithCancel(t.Context())
			stop[i] = cancel
			go l.glance(ctx, i)
			for range 4 {
				go l.lane(ctx, i)
			}
		}
		appended := 0
		// flow appends 1,000 records a second, and tells how many of those of the last second each one processed.
		flow := func(seconds int) (most int, share float64) {
			var before []int
			for n := range 1000 * seconds {
				if n == 1000*(seconds-1) {
					l.mu.Lock()
					before = append(before, l.processed...)
					l.mu.Unlock()
				}
				l.append(rand.IntN(event.Partitions))
				appended++
				<-time.After(time.Millisecond)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			all, best := 0, 0
			for i, n := range l.processed {
				all += n - before[i]
				if n-before[i] > best {
					most, best = i, n-before[i]
				}
			}
			return most, float64(best) / float64(all)
		}
		first, share := flow(5)
		if share < 0.9 {
			t.Errorf("of %d subscribers the busiest processes %.0f %% after 5 s, want nearly all", subscribers, 100*share)
		}
		stop[first]()
		second, share := flow(5)
		if second == first || share < 0.9 {
			t.Errorf("after subscriber %d is gone, %d processes %.0f %%, want another one nearly all", first, second, 100*share)
		}
		<-time.After(time.Second)
		for _, cancel := range stop {
			cancel()
		}
		synctest.Wait()
		done := 0
		for _, n := range l.processed {
			done += n
		}
		if done != appended {
			t.Errorf("%d records were processed, and %d appended", done, appended)
		}
	})
}
