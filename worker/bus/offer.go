package bus

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// handover is how long a lane waits for the consumer to take a message. A router takes messages at once; a consumer that
// does not must not keep a transaction open, which on SQLite would keep everyone from writing.
const handover = 250 * time.Millisecond

// errGivenBack says that a record was not processed for no fault of its own.
var errGivenBack = errors.New("the consumer did not take the message in time")

// errNotHandled says that something between the log and the handler, a middleware, acknowledged what the handler had not done.
var errNotHandled = errors.New("the message was acknowledged before its handler was done with it")

// offer sends the message of a delivery to the consumer and waits for the answer.
//
// The context of a message without a session ends when it is answered, as Watermill promises. That of a session ends with
// the batch.
func (r *run) offer(ctx context.Context, m *message.Message, d *delivery) (err error) {
	var cancel context.CancelFunc
	d.Context, cancel = context.WithCancel(ctx)
	if d.session == nil {
		defer cancel()
	} else {
		r.cancel = cancel
	}
	m.SetContext(d) //nolint:contextcheck // d carries the context of the run
	if err := r.hand(ctx, m); err != nil {
		return err
	}
	hurry := r.hurry
	for {
		select {
		case <-m.Acked():
			if len(d.outcomes) < len(d.records) {
				return errNotHandled
			}
			return nil
		case <-m.Nacked():
			if hurry == nil { // the end of its context may be the reason
				return errGivenBack
			}
			return d.refusal()
		case <-ctx.Done():
			err = ctx.Err()
		case <-hurry:
			err = errGivenBack
		}
		if d.session == nil {
			return err
		}
		// The session is in the hands of a handler, whose context ends now: it is not touched before that returns.
		cancel()
		ctx, hurry = context.WithoutCancel(ctx), nil
	}
}

// hand gives a message to the consumer.
func (r *run) hand(ctx context.Context, m *message.Message) error {
	select {
	case <-r.hurry:
		return errGivenBack
	default:
	}
	select {
	case r.out <- m:
		return nil
	default:
	}
	if r.patience == nil {
		r.patience = time.NewTimer(handover)
	} else {
		r.patience.Reset(handover)
	}
	select {
	case r.out <- m:
		return nil
	case <-r.patience.C:
		return errGivenBack
	case <-r.hurry:
		return errGivenBack
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal is why a message was not acknowledged.
func (d *delivery) refusal() error {
	if d.err != nil {
		return d.err
	}
	return errors.New("the consumer did not acknowledge the message")
}
