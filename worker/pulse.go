package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

const (
	// beatEvery is the time between two heartbeats; AliveWithin is how old one may be.
	beatEvery = 5 * time.Second
	// AliveWithin is the age beyond which a heartbeat's replica is taken for dead.
	AliveWithin = 3 * beatEvery
	// beatTimeout bounds what one heartbeat asks of the database.
	beatTimeout = 5 * time.Second
)

// pulse writes the replica's heartbeat and measures the backlog, until it is stopped.
type pulse struct {
	replica *Replica
	now     chan struct{}
	quit    chan struct{}
	cancel  context.CancelFunc // of a heartbeat that takes too long at the end
	done    sync.WaitGroup
}

func (r *Replica) startPulse() *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{replica: r, now: make(chan struct{}, 1), quit: make(chan struct{}), cancel: cancel}
	r.vitals.cameRound()
	p.done.Go(func() { p.run(ctx) })
	return p
}

func (p *pulse) beatNow() {
	select {
	case p.now <- struct{}{}:
	default:
	}
}

// stop ends the heartbeat and takes the replica's row away. It lets the heartbeat in hand finish: one that is cut off may
// reach the server all the same, and would put the row back after it was taken away.
func (p *pulse) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	defer p.cancel()
	context.AfterFunc(ctx, p.cancel)
	close(p.quit)
	p.done.Wait()
	if err := p.replica.options.DB.Leave(ctx, p.replica.options.Instance); err != nil {
		p.replica.logger.Debug("the heartbeat row stays until it is too old", "error", err)
	}
}

func (p *pulse) run(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		p.beat(ctx)
		select {
		case <-p.quit:
			return
		case <-ticker.C:
		case <-p.now:
		}
	}
}

func (p *pulse) beat(life context.Context) {
	ctx, cancel := context.WithTimeout(life, beatTimeout)
	defer cancel()
	r := p.replica
	err := r.options.DB.Beat(ctx, storage.Replica{
		Instance: r.options.Instance, Version: r.options.Version, Lanes: r.options.Lanes,
		State: phase(r.phase.Load()).String(), Leader: r.leader.Load(),
	})
	if err == nil && r.options.Observer != nil {
		err = r.measure(ctx)
	}
	r.vitals.cameRound()
	if err != nil && life.Err() == nil {
		r.logger.Warn("no heartbeat was written", "error", err)
		r.tellWork("no heartbeat was written, trying again: " + err.Error())
	}
}

func (r *Replica) measure(ctx context.Context) error {
	backlog, err := Backlog(ctx, r.options.DB)
	if err != nil {
		return err
	}
	oldest, err := r.options.DB.OldestPending(ctx, event.Topic, Group)
	if err != nil {
		return err
	}
	events, wallets, err := r.options.DB.ParkedCount(ctx, event.Topic, Group)
	if err != nil {
		return err
	}
	r.options.Observer.Backlog(Group, backlog)
	r.options.Observer.OldestPending(oldest)
	r.options.Observer.Parked(events, wallets)
	r.tellWork(fmt.Sprintf("processing events: %d waiting, %d parked", backlog, events))
	return nil
}
