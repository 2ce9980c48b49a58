package bus

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/safebox/safebox/worker/event"
)

// A Handler processes the batches of a consumer group.
type Handler interface {
	// Begin prepares for a batch: it is given the records that will be delivered, before the first is. What the session
	// does in the batch's transaction commits with the cursor.
	Begin(ctx context.Context, b event.Batch, records []event.Record) (Session, error)
}

// A Session is a handler at work on one batch. It is used by one goroutine at a time. A panic in it is an error of its
// record or, in Finish, of the batch; what the session did before is then thrown away and done again by another.
type Session interface {
	// Handle processes the next record and names its outcome. After an error the session must be as it was before. It
	// returns soon after ctx ends.
	Handle(ctx context.Context, r event.Record) (outcome string, err error)
	// Skip records that an operator decided not to process r, and names the outcome.
	Skip(ctx context.Context, r event.Record) (outcome string, err error)
	// Finish stores what the records did. It comes before the commit, once, and not when nothing was handled.
	Finish(ctx context.Context) error
}

// PanicError is a panic of a handler.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// recovered is deferred: it turns a panic into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{p, debug.Stack()}
	}
}

func begin(ctx context.Context, h Handler, b event.Batch, records []event.Record) (s Session, err error) {
	defer recovered(&err)
	return h.Begin(ctx, b, records)
}

func handle(ctx context.Context, s Session, r event.Record) (outcome string, err error) {
	defer recovered(&err)
	return s.Handle(ctx, r)
}

func skip(ctx context.Context, s Session, r event.Record) (outcome string, err error) {
	defer recovered(&err)
	return s.Skip(ctx, r)
}

func finish(ctx context.Context, s Session) (err error) {
	defer recovered(&err)
	return s.Finish(ctx)
}

// delivery is the context of a message: it travels from the lane through the router to the handler and back.
type delivery struct {
	context.Context // it is one itself
	session         Session
	records         []event.Record
	outcomes        []string // of the records that are done with, from the first on
	err             error    // why the message was not acknowledged, when the router knows
}

// process gives the session what it was not given yet, until the context of the message ends.
func (d *delivery) process(ctx context.Context) error {
	for len(d.outcomes) < len(d.records) {
		if err := ctx.Err(); err != nil {
			return err
		}
		outcome, err := handle(ctx, d.session, d.records[len(d.outcomes)])
		if err != nil {
			return err
		}
		d.outcomes = append(d.outcomes, outcome)
	}
	return nil
}

type deliveryKey struct{}

// Value implements context.Context.
func (d *delivery) Value(key any) any {
	if key == (deliveryKey{}) {
		return d
	}
	return d.Context.Value(key)
}

func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}
