package bus

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/worker/event"
)

// Queued is the number of appends that wait for the writer.
func (b *Bus) Queued() int { return len(b.appender.requests) }

// Closing tells whether Close was called.
func (s *Subscriber) Closing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Lane is a lane with a board of its own and without a scout, for a test that says what it does when.
type Lane struct{ s *subscription }

// NewLane makes a lane. Its messages go to out, which Consume empties; it begins to look for work at a partition.
func NewLane(b *Bus, o SubscriberOptions, topic string, out chan *message.Message, partition int) (*Lane, error) {
	s, err := b.Subscriber(o)
	if err != nil {
		return nil, err
	}
	board := newBoard(s.options.Batch, s.options.Together, 0)
	board.next = partition
	return &Lane{&subscription{Subscriber: s, topic: topic, out: out, board: board, hurry: make(chan struct{})}}, nil
}

// Learn tells the lane what a look at the log found, or, with resync, that this is all that is so.
func (l *Lane) Learn(heads, cursors event.Positions, resync bool) {
	if resync {
		l.s.board.resync(heads, cursors)
	} else {
		l.s.board.news(heads, cursors)
	}
}

// Step processes a batch as if every pause were over; false: the lane knows of no work.
func (l *Lane) Step(ctx context.Context) bool {
	ps, limit, _ := l.s.board.pick(time.Now().Add(time.Hour))
	if len(ps) == 0 {
		return false
	}
	l.s.board.give(ps, l.s.process(ctx, ps, limit))
	return true
}

// Consume answers messages as a router's handler does, until out is closed.
func Consume(out <-chan *message.Message) {
	process := remember(func(m *message.Message) ([]*message.Message, error) {
		return nil, deliveryOf(m.Context()).process(m.Context())
	})
	for m := range out {
		if _, err := process(m); err != nil {
			m.Nack()
		} else {
			m.Ack()
		}
	}
}
