package bus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/worker/event"
)

// SubscriberOptions configure a subscriber. Group is required; the rest has working defaults.
type SubscriberOptions struct {
	Group string // the consumer group: each group gets every record, each record goes to one member
	// Handler gives each batch a session; nil: messages are delivered without one, and an acknowledgement moves the cursor.
	Handler Handler
	Lanes   int // partitions processed at once; 0: 4
	Batch   int // most records in one transaction; 0: 500
	// Together is the most partitions with few records each that one transaction takes; 0: 1. It is for a handler that is
	// quick: the lane has them all while it is at work.
	Together    int
	Poll        time.Duration // longest time between two looks at the log; 0: 1 s
	MaxAttempts int           // of a record, before it is parked; 0: for ever
	// CloseTimeout is how long Close waits for the batches in hand. Then the contexts of their messages end, and what is
	// not acknowledged is given back. 0: 10 s.
	CloseTimeout time.Duration
}

// Subscriber reads topics for one consumer group. Any number of subscribers, in any number of processes, may share a
// group: a partition is processed by one lane of one of them at a time.
type Subscriber struct {
	bus     *Bus
	options SubscriberOptions
	logger  *slog.Logger

	mu      sync.Mutex
	boards  []*board // of its topics
	closing chan struct{}
	closed  bool
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscriber makes a subscriber of the bus.
func (b *Bus) Subscriber(o SubscriberOptions) (*Subscriber, error) {
	if o.Group == "" {
		return nil, errors.New("a subscriber needs a consumer group")
	}
	if o.Lanes == 0 {
		o.Lanes = 4
	}
	if o.Batch == 0 {
		o.Batch = 500
	}
	if o.Together == 0 {
		o.Together = 1
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 10 * time.Second
	}
	return &Subscriber{bus: b, options: o, logger: b.logger.With("group", o.Group), closing: make(chan struct{})}, nil
}

// Subscribe implements message.Subscriber. The channel closes after Close, when the batches in hand are finished, or when
// ctx ends, which rolls them back. The channel of a subscriber with a Handler is for a Router: who takes a message from it
// has to answer it.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if err := s.bus.log.Join(ctx, topic, s.options.Group); err != nil {
		return nil, err
	}
	sub := &subscription{
		Subscriber: s, topic: topic, out: make(chan *message.Message), board: newBoard(s.options.Batch, s.options.Together, s.options.Lanes), hurry: make(chan struct{}),
	}
	s.boards = append(s.boards, sub.board)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		sub.run(ctx)
		s.forget(sub.board)
	}()
	return sub.out, nil
}

// forget drops the board of a subscription that has ended.
func (s *Subscriber) forget(ended *board) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boards = slices.DeleteFunc(s.boards, func(b *board) bool { return b == ended })
}

// Close implements message.Subscriber.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// Handling is how long the handler has been at its batch that has been for longest, without what the database takes to load
// and to store; 0 when none is at one. It takes the locks that the lanes take, so that it does not return where they cannot
// go on.
func (s *Subscriber) Handling() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boards {
		if since := b.handling(); !since.IsZero() {
			longest = max(longest, time.Since(since))
		}
	}
	return longest
}

// subscription is one topic's scout and lanes.
type subscription struct {
	*Subscriber
	topic string
	out   chan *message.Message
	board *board
	hurry chan struct{} // closed CloseTimeout after Close

	answered answered
}

// run ends when the subscriber is closed or ctx is done, after the last lane.
func (s *subscription) run(ctx context.Context) {
	defer close(s.out)
	claiming, stop := context.WithCancel(ctx)
	defer stop()
	var lanes, others sync.WaitGroup
	ended := make(chan struct{})
	others.Go(func() { s.awaitClose(claiming, stop, ended) })
	others.Go(func() { s.scout(claiming) })
	for range s.options.Lanes {
		lanes.Go(func() { s.lane(ctx, claiming) })
	}
	lanes.Wait()
	close(ended)
	others.Wait()
}

// lane processes batches until claiming ends. ctx is the hard end.
func (s *subscription) lane(ctx, claiming context.Context) {
	for {
		ps, limit, ok := s.board.take(claiming)
		if !ok {
			return
		}
		s.bus.observer.LaneBusy(1)
		s.board.give(ps, s.process(ctx, ps, limit))
		s.bus.observer.LaneBusy(-1)
	}
}

// awaitClose stops the claiming on Close, and hurries the lanes that have not ended by the CloseTimeout.
func (s *subscription) awaitClose(claiming context.Context, stop func(), ended <-chan struct{}) {
	select {
	case <-claiming.Done():
		return
	case <-s.closing:
		stop()
	}
	timer := time.NewTimer(s.options.CloseTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		s.logger.Warn("batches in hand were not finished in time: what is not acknowledged is given back",
			"topic", s.topic, "after", s.options.CloseTimeout)
		close(s.hurry)
	}
}

// scoutPause is the shortest time between two looks at the log.
const scoutPause = time.Millisecond

// resyncEvery is the time after which the scout forgets what it believes of the cursors and reads them anew.
const resyncEvery = 5 * time.Second

// A subscriber that leaves work to another one looks whether it is done glanceAhead of taking it over, and not again within
// glancePause. A look is at all that is left: what comes in while there is other work is mostly found done.
const (
	glanceAhead = 10 * time.Millisecond
	glancePause = 15 * time.Millisecond
)

// scout keeps the board's knowledge of the log: it listens to what is announced, and looks for itself every Poll.
func (s *subscription) scout(ctx context.Context) {
	own := s.bus.watch(s.topic)
	defer s.bus.unwatch(s.topic, own)
	others := s.bus.log.Changes(ctx, s.topic)
	defer func() {
		for range others { // it closes when ctx is done: wait for that
		}
	}()
	failures := 0
	var resynced time.Time
	for {
		resync := time.Since(resynced) >= resyncEvery
		err := s.look(ctx, resync)
		pause := s.options.Poll
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			pause = backoff(failures)
			s.logger.Warn("cannot read the event log; trying again", "in", pause, "error", err)
		default:
			failures = 0
			if resync {
				resynced = time.Now()
			}
		}
		if !wait(ctx, scoutPause) {
			return
		}
		s.listen(ctx, own, others, pause)
	}
}

// listen takes news until it is time for a look at the log: after the pause, or when something happened and it is not known
// what.
func (s *subscription) listen(ctx context.Context, own, others <-chan event.Positions, pause time.Duration) {
	end := time.NewTimer(pause)
	defer end.Stop()
	glance := time.NewTimer(pause)
	defer glance.Stop()
	var glanced time.Time
	for {
		var told event.Positions
		var glances <-chan time.Time
		left, still := s.board.left()
		if len(left) > 0 {
			glance.Reset(max(still-glanceAhead, glancePause-time.Since(glanced)))
			glances = glance.C
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-glances:
			if left, _ = s.board.left(); len(left) == 0 {
				continue
			}
			glanced = time.Now()
			if cursors, err := s.bus.log.Cursors(ctx, s.topic, s.options.Group, left...); err == nil { // else the claim finds out
				s.board.news(event.Positions{}, cursors)
			}
			continue
		case told = <-own:
		case told = <-others:
		}
		if told == (event.Positions{}) {
			return
		}
		s.board.news(told, event.Positions{})
	}
}

// look reads how far the log goes and, where that is news, how far the group has come: so that no lane claims a partition
// whose events another subscriber of the group has processed meanwhile.
func (s *subscription) look(ctx context.Context, resync bool) error {
	heads, err := s.bus.log.Heads(ctx, s.topic)
	if err != nil || !resync && !s.board.behind(heads) {
		return err
	}
	cursors, err := s.bus.log.Cursors(ctx, s.topic, s.options.Group)
	if err != nil {
		return err
	}
	if resync && cursors == (event.Positions{}) && heads != cursors {
		// Nothing was processed yet, or the database was made anew and does not know the group.
		if err := s.bus.log.Join(ctx, s.topic, s.options.Group); err != nil {
			return err
		}
	}
	if resync {
		s.board.resync(heads, cursors)
	} else {
		s.board.news(heads, cursors)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
