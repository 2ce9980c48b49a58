package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/safebox/safebox/worker/event"
)

const (
	// groupEvents is the most events that are committed in one group.
	groupEvents = 1000
	// groupEvery is the shortest time between the beginnings of two groups where a few callers come at the same time: so they
	// share more commits, each of which costs the database more than what is in it.
	groupEvery = 2 * time.Millisecond
	// fewCallers is how many callers make a group that waits for no more of them.
	fewCallers = 8
	// awaited is the part of the time that the last group took for which one waits for as many callers as there were, where there
	// are many: those that were just answered may come again at once, and would else make every second group.
	awaited = 4
	// groupsApart is how many groups of one caller in a row tell that callers do not come at the same time.
	groupsApart = 16
	// announceEvery is the shortest pause between two announcements to other processes. It is shorter than groups of a few callers
	// are apart, so that none of these waits to be told.
	announceEvery = time.Millisecond
	// groupTimeout bounds the writing of what several callers share; what is one caller's alone, its own context bounds.
	groupTimeout = 10 * time.Second
	// announceTimeout bounds one announcement.
	announceTimeout = time.Second
)

// ErrClosed is returned by what is used after it was closed.
var ErrClosed = errors.New("bus is closed")

// appender commits concurrent appends in groups: while one group is written, the next one gathers. A caller that comes alone
// waits for nobody.
type appender struct {
	bus      *Bus
	requests chan *request
	closing  chan struct{}
	written  chan struct{} // closed when the last request that will be written is answered
	around   int           // the callers that were there when the last group was written and not yet answered; of write
	once     sync.Once
	done     sync.WaitGroup

	mu   sync.Mutex
	owed map[string]event.Positions // by topic: what other processes were not told of yet
	owes chan struct{}              // something is owed; closed with the last
}

type request struct {
	ctx      context.Context // it travels with the request to the goroutine that serves it
	topic    string
	events   []event.Event
	receipts []event.Receipt
	err      error
	answered chan struct{}
}

func startAppender(b *Bus) *appender {
	a := &appender{
		bus: b, requests: make(chan *request, groupEvents), closing: make(chan struct{}), written: make(chan struct{}),
		owed: map[string]event.Positions{}, owes: make(chan struct{}, 1),
	}
	a.done.Add(2)
	go a.write()
	go a.announce()
	return a
}

func (a *appender) close() {
	a.once.Do(func() { close(a.closing) })
	a.done.Wait()
}

func (a *appender) append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	r := &request{ctx: ctx, topic: topic, events: events, answered: make(chan struct{})}
	select {
	case <-a.closing:
		return nil, ErrClosed
	default:
	}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.closing:
		return nil, ErrClosed
	}
	select {
	case <-r.answered:
		return r.receipts, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.written:
	}
	select {
	case <-r.answered:
		return r.receipts, r.err
	default: // it came into the queue while the bus was closing, behind the last look at it
		return nil, ErrClosed
	}
}

func (a *appender) write() {
	defer a.done.Done()
	defer close(a.owes)
	defer close(a.written)
	var held *request // did not fit into the last group
	var began time.Time
	var took time.Duration
	apart := groupsApart
	for {
		group := []*request{held}
		if held == nil {
			select {
			case group[0] = <-a.requests:
			case <-a.closing:
				a.refuseRest()
				return
			}
		}
		enough, due := fewCallers, began
		switch {
		case a.around > fewCallers:
			enough, due = a.around, time.Now().Add(min(took/awaited, groupEvery))
		case apart < groupsApart:
			due = began.Add(groupEvery)
		}
		group, held = a.gather(group, enough, due)
		switch n := len(group); {
		case n == 1:
			apart++
		case n < fewCallers:
			apart = 0
		default:
			apart = groupsApart
		}
		began = time.Now()
		a.commit(group)
		took = time.Since(began)
	}
}

// gather adds to a group what is in the queue and, until there is enough, what comes until it is due. The request that it ends
// with may belong to the next one.
func (a *appender) gather(group []*request, enough int, due time.Time) (_ []*request, held *request) {
	topic, n := group[0].topic, len(group[0].events)
	var end <-chan time.Time
	for n < groupEvents {
		var r *request
		select {
		case r = <-a.requests:
		default:
			if len(group) >= enough || !time.Now().Before(due) {
				return group, nil
			}
			if end == nil {
				end = time.After(time.Until(due))
			}
			select {
			case r = <-a.requests:
			case <-end:
				return group, nil
			case <-a.closing:
				return group, nil
			}
		}
		if r.topic != topic || n+len(r.events) > groupEvents {
			return group, r
		}
		group, n = append(group, r), n+len(r.events)
	}
	return group, nil
}

// present answers the requests whose callers have left and returns the others.
func present(group []*request) []*request {
	waiting := group[:0]
	for _, r := range group {
		if r.err = r.ctx.Err(); r.err != nil {
			close(r.answered)
			continue
		}
		waiting = append(waiting, r)
	}
	return waiting
}

// refuseRest answers those who were in the queue when the bus was closed.
func (a *appender) refuseRest() {
	for {
		select {
		case r := <-a.requests:
			r.err = ErrClosed
			close(r.answered)
		default:
			return
		}
	}
}

// commit writes a group. When it fails as a whole, each request is written alone, so that none fails for another's sake;
// unless the first of those shows that the database, not a request, is in trouble: then the others share its error
// instead of waiting for it one after the other.
func (a *appender) commit(group []*request) {
	group = present(group)
	var trouble error
	if len(group) > 1 {
		if trouble = a.together(group); trouble == nil {
			return
		}
		a.bus.logger.Debug("a group of appends failed; writing each alone", "requests", len(group), "error", trouble)
	}
	for i, r := range group {
		r.receipts, r.err = a.bus.log.Append(r.ctx, r.topic, r.events)
		a.around = len(group) + len(a.requests)
		lost := i == 0 && transient(trouble) && transient(r.err) && r.ctx.Err() == nil
		close(r.answered)
		if lost {
			for _, other := range group[1:] {
				other.err = r.err
				close(other.answered)
			}
			return
		}
		if r.err == nil {
			a.tell(r.topic, r.receipts)
		}
	}
}

// together writes a group in one transaction and answers it, or returns why it could not.
func (a *appender) together(group []*request) error {
	n := 0
	for _, r := range group {
		n += len(r.events)
	}
	events := make([]event.Event, 0, n)
	for _, r := range group {
		events = append(events, r.events...)
	}
	// The group outlives any one caller: a caller who leaves must not take the others' append along.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(group[0].ctx), groupTimeout)
	defer cancel()
	receipts, err := a.bus.log.Append(ctx, group[0].topic, events)
	if err != nil {
		return err
	}
	a.around = len(group) + len(a.requests)
	all := receipts
	for _, r := range group {
		r.receipts, receipts = receipts[:len(r.events):len(r.events)], receipts[len(r.events):]
		close(r.answered)
	}
	a.tell(group[0].topic, all)
	return nil
}

// tell tells the subscribers of this process at once, and lets announce tell the others.
func (a *appender) tell(topic string, receipts []event.Receipt) {
	heads := event.HeadsOf(receipts)
	if heads == (event.Positions{}) {
		return
	}
	a.bus.tell(topic, heads)
	a.mu.Lock()
	owed := a.owed[topic]
	owed.Advance(heads)
	a.owed[topic] = owed
	a.mu.Unlock()
	select {
	case a.owes <- struct{}{}:
	default: // it is known
	}
}

// announce tells other processes of new events: at once, but for announceEvery after it has told of others.
func (a *appender) announce() {
	defer a.done.Done()
	for range a.owes {
		a.mu.Lock()
		owed := a.owed
		a.owed = map[string]event.Positions{}
		a.mu.Unlock()
		for topic, heads := range owed {
			a.announceOne(topic, heads)
		}
		pause := time.NewTimer(announceEvery)
		select {
		case <-pause.C:
		case <-a.closing:
		}
		pause.Stop()
	}
}

func (a *appender) announceOne(topic string, heads event.Positions) {
	ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
	defer cancel()
	if err := a.bus.log.Announce(ctx, topic, heads); err != nil {
		a.bus.logger.Debug("other processes were not told of new events; they will find them by polling", "error", err)
	}
}
