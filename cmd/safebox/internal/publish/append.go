package publish

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// Appender writes events to the event log and answers each at its index. To append again after an error is safe.
type Appender interface {
	Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error)
}

// Append appends events to the topic of wallet events. While it fails for a passing reason it tries again, with waits
// that double up to 2 s and vary by half, until patience (zero: 30 s) has passed; then it returns the last error.
func Append(ctx context.Context, log Appender, events []event.Event, patience time.Duration) ([]event.Receipt, error) {
	if patience <= 0 {
		patience = 30 * time.Second
	}
	end := time.Now().Add(patience)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		receipts, err := log.Append(ctx, event.Topic, events)
		pause := wait/2 + rand.N(wait)
		if err == nil || !passing(err) || ctx.Err() != nil || time.Now().Add(pause).After(end) {
			return receipts, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// passing tells whether the same append may succeed later.
func passing(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}
