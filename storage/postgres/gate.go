package postgres

import (
	"context"
	"slices"
	"sync"
)

// gate keeps batches of this process from storing into one wallet at once. The server would do so as well, by its row locks,
// and does for those of other processes: but a batch that waits there has begun, holds the wallets it got first, and makes
// the next one wait. Behind the gate nothing is held but the batch's own partitions.
type gate struct {
	mu     sync.Mutex
	queues map[int32][]*ticket // by wallet: who is inside, and who comes next
}

// ticket is a batch's place in the queues of its wallets.
type ticket struct {
	wallets []int32
	behind  int           // queues in which it is not the first
	first   chan struct{} // closed when it is the first in all
}

// enter waits until no batch that came before stores into one of the wallets, each of which is named once. The caller leaves
// the gate with the ticket that it is given.
func (g *gate) enter(ctx context.Context, wallets []int32) (*ticket, error) {
	t := &ticket{wallets: wallets, first: make(chan struct{})}
	if g.join(t) {
		return t, nil
	}
	select {
	case <-t.first:
		return t, nil
	case <-ctx.Done():
		g.leave(t)
		return nil, ctx.Err()
	}
}

// join puts a ticket into the queues, all at once, so that no two tickets wait for one another. It tells whether the ticket
// may enter.
func (g *gate) join(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queues == nil {
		g.queues = map[int32][]*ticket{}
	}
	for _, w := range t.wallets {
		if len(g.queues[w]) > 0 {
			t.behind++
		}
		g.queues[w] = append(g.queues[w], t)
	}
	return t.behind == 0
}

// leave takes a ticket out of the queues, whether it was inside or gave up.
func (g *gate) leave(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range t.wallets {
		q := g.queues[w]
		if q[0] != t { // it gave up
			g.queues[w] = slices.DeleteFunc(q, func(other *ticket) bool { return other == t })
			continue
		}
		if len(q) == 1 {
			delete(g.queues, w)
			continue
		}
		g.queues[w] = q[1:]
		if q[1].behind--; q[1].behind == 0 {
			close(q[1].first)
		}
	}
}
