package worker

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/safebox/safebox/initlock"
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
	// guardsEvery is the time between two looks at the guards, and guardsBroken where the last one found something: someone
	// is mending it. The first comes about guardsFirst after the start: it takes a session of its own, and where many replicas
	// start at once it is sessions that they wait for. guardsTimeout bounds a look, which reads every wallet where an index is
	// missing.
	guardsFirst   = 4 * time.Second
	guardsEvery   = 5 * time.Minute
	guardsBroken  = 30 * time.Second
	guardsTimeout = time.Minute
)

// pulse writes the replica's heartbeat and measures the backlog, until it is stopped.
type pulse struct {
	replica *Replica
	down    func(*takenDown) // told when the schema is found below the replica's
	now     chan struct{}
	quit    chan struct{}
	cancel  context.CancelFunc // of a heartbeat that takes too long at the end
	blind   context.CancelFunc // ends the looks at what changes seldom
	done    sync.WaitGroup
}

func (r *Replica) startPulse(down func(*takenDown)) *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{replica: r, down: down, now: make(chan struct{}, 1), quit: make(chan struct{}), cancel: cancel}
	r.vitals.cameRound()
	looking, blind := context.WithCancel(ctx)
	p.blind = blind
	p.done.Go(func() { p.run(ctx) })
	if r.options.Observer != nil {
		p.done.Go(func() { r.watchSlowly(looking) })
	}
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
	p.blind()
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
	marker, err := r.options.DB.Marker().Read(ctx)
	if err == nil {
		if down := r.below(marker); down != nil {
			p.down(down) // there is no table left to write the heartbeat to
			r.vitals.cameRound()
			return
		}
		err = r.options.DB.Beat(ctx, storage.Replica{
			Instance: r.options.Instance, Version: r.options.Version, Lanes: r.options.Lanes,
			State: phase(r.phase.Load()).String(), Leader: r.leader.Load(),
		})
	}
	if r.options.Observer != nil {
		if err == nil {
			err = r.measure(ctx, marker)
		}
		if err != nil {
			r.options.Observer.Unmeasured()
		}
	}
	r.vitals.cameRound()
	if err != nil && life.Err() == nil {
		r.logger.Warn("no heartbeat was written", "error", err)
		r.tellWork("no heartbeat was written, trying again: " + err.Error())
	}
}

// measure reads what the database alone knows and tells all of it, or nothing.
func (r *Replica) measure(ctx context.Context, marker initlock.Record) error {
	if err := r.readClock(ctx); err != nil {
		return err
	}
	backlog, err := Backlog(ctx, r.options.DB)
	if err != nil {
		return err
	}
	var oldest time.Time // zero: none waits
	if backlog > 0 {
		if oldest, err = r.options.DB.OldestPending(ctx, event.Topic, Group); err != nil {
			return err
		}
	}
	events, wallets, err := r.options.DB.ParkedCount(ctx, event.Topic, Group)
	if err != nil {
		return err
	}
	o := r.options.Observer
	o.Marker(marker.State)
	o.Backlog(Group, backlog)
	o.OldestPending(oldest)
	o.Parked(events, wallets)
	o.Measured(time.Now())
	r.tellWork(fmt.Sprintf("processing events: %d waiting, %d parked", backlog, events))
	return nil
}

// readClock learns how far the database's clock is from this machine's: an event's lag goes from the one to the other.
func (r *Replica) readClock(ctx context.Context) error {
	offset, within, err := r.options.DB.ClockOffset(ctx)
	if err != nil {
		return err
	}
	best := r.clock.add(reading{offset, within})
	r.offset.Store(int64(best))
	if r.options.Observer != nil {
		r.options.Observer.ClockOffset(best)
	}
	return nil
}

// readings are the last looks at the database's clock, a minute of them.
type readings struct {
	last [int(time.Minute / beatEvery)]reading
	n    int
}

type reading struct{ offset, within time.Duration }

// add takes a reading in and returns the offset of the surest one: a round trip that was held up says little. It is the
// clock filter of NTP (RFC 5905, section 10).
func (c *readings) add(r reading) time.Duration {
	c.last[c.n%len(c.last)] = r
	c.n++
	known := c.last[:min(c.n, len(c.last))]
	return slices.MinFunc(known, func(a, b reading) int { return cmp.Compare(a.within, b.within) }).offset
}

// watchSlowly looks now and then at what changes seldom, until ctx ends: the guards, since an index that someone dropped lets
// values in that no start has seen, and the record of the backups.
func (r *Replica) watchSlowly(ctx context.Context) {
	pause := guardsFirst
	for {
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = guardsEvery
		if r.lookAtGuards(ctx) > 0 {
			pause = guardsBroken
		}
		r.lookAtBackups(ctx)
	}
}

// lookAtBackups tells the observer how old the backups are.
func (r *Replica) lookAtBackups(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	taken, verified, err := r.options.DB.LastBackup(ctx)
	if err != nil {
		r.logger.Debug("the record of the backups could not be read; trying again later", "error", err)
		return
	}
	r.options.Observer.Backups(taken, verified)
}

// lookAtGuards tells the observer of the values that break each guard, and returns how many there are.
func (r *Replica) lookAtGuards(ctx context.Context) (violations int) {
	if r.options.Guards == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, guardsTimeout)
	defer cancel()
	found, err := r.options.Guards(ctx)
	if err != nil {
		r.logger.Debug("the guards could not be looked at; trying again later", "error", err)
		return 0
	}
	for guard, n := range found {
		r.options.Observer.Guard(guard, n)
		violations += n
	}
	return violations
}
