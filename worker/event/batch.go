package event

import (
	"errors"
	"fmt"
)

// MaxBatch is the largest number of events that DecodeBatch takes.
const MaxBatch = 10_000

// ErrBatchTooLong is returned by DecodeBatch for an array of more than MaxBatch events.
var ErrBatchTooLong = errors.New("too many events in one batch")

// Decoded is one element of a batch: an event, or why it was refused.
type Decoded struct {
	Event   Event
	Refusal *Refusal // nil when the event was taken
}

// DecodeBatch reads the batched JSON form of CloudEvents 1.0, an array of events, and answers each element at its
// index. The error says that the array itself cannot be read: a *Refusal, or one that wraps ErrBatchTooLong. It bounds
// the number of events; who calls it bounds the bytes.
func DecodeBatch(batch []byte) ([]Decoded, error) {
	in := scanner{text: string(batch)}
	if in.peek() != '[' {
		return nil, &Refusal{Reason: "expected a JSON array of CloudEvents 1.0 events"}
	}
	if err := in.open(); err != nil {
		return nil, err.refusal()
	}
	var elements []string
	for first := true; ; first = false {
		more, err := in.next(first, ']')
		if err != nil {
			return nil, err.batchRefusal()
		}
		if !more {
			break
		}
		if len(elements) == MaxBatch {
			return nil, fmt.Errorf("%w: at most %d are taken; send the rest in another", ErrBatchTooLong, MaxBatch)
		}
		in.space()
		start := in.at
		if _, err := in.value(); err != nil {
			return nil, err.batchRefusal()
		}
		elements = append(elements, in.text[start:in.at])
	}
	if err := in.end(); err != nil {
		return nil, err.batchRefusal()
	}
	decoded := make([]Decoded, len(elements))
	for i, element := range elements {
		decoded[i].Event, decoded[i].Refusal = decode(element)
	}
	return decoded, nil
}
