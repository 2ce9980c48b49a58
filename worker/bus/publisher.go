package bus

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/worker/event"
)

// ConflictError says that the log has a message's identity with other content.
type ConflictError struct {
	Source, ID string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("event %s of %s is in the log with other content: use a new id for a new event", e.ID, e.Source)
}

// Publisher appends Watermill messages to the log; it returns after the commit. A message that is in the log already is
// no error: to publish again is safe.
type Publisher struct{ bus *Bus }

var _ message.Publisher = (*Publisher)(nil)

// Publisher returns the bus's publisher.
func (b *Bus) Publisher() *Publisher { return &Publisher{b} }

// Publish implements message.Publisher: in one transaction, all messages are written that are neither refused nor in conflict
// with the log, and the error is of the first that is.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	events := make([]event.Event, len(messages))
	for i, m := range messages {
		e, err := toEvent(topic, m)
		if err != nil {
			return err
		}
		events[i] = e
	}
	receipts, err := p.bus.Append(publishContext(messages), topic, events)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	for i, r := range receipts {
		switch r.Result {
		case event.Conflict:
			return &ConflictError{events[i].Source, events[i].ID}
		case event.Refused:
			return fmt.Errorf("publish to %s: %w", topic, r.Refusal)
		}
	}
	return nil
}

// publishContext is the first message's: Watermill passes no other.
func publishContext(messages []*message.Message) context.Context {
	return messages[0].Context()
}

// Close implements message.Publisher. The bus closes the appends; a publisher holds nothing of its own.
func (p *Publisher) Close() error { return nil }
