package bus

import (
	"context"

	"github.com/safebox/safebox/worker/event"
)

// A Handler processes the batches of a consumer group.
type Handler interface {
	// Begin prepares for a batch: it is given the records that will be delivered, before the first is. What the session
	// does in the batch's transaction commits with the cursor.
	Begin(ctx context.Context, b event.Batch, records []event.Record) (Session, error)
}

// A Session is a handler at work on one batch. It is used by one goroutine at a time.
type Session interface {
	// Handle processes the next record and names its outcome. After an error the session must be as it was before.
	Handle(ctx context.Context, r event.Record) (outcome string, err error)
	// Skip records that an operator decided not to process r, and names the outcome.
	Skip(ctx context.Context, r event.Record) (outcome string, err error)
	// Finish stores what the records did. It comes before the commit, once, and not when nothing was handled.
	Finish(ctx context.Context) error
}

// delivery travels in a message's context from the lane through the router to the handler and back.
type delivery struct {
	record  event.Record
	session Session
	outcome string
	err     error // why the message was not acknowledged, when the router knows
}

type deliveryKey struct{}

func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}
