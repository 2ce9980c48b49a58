package bus

import (
	"context"
	"time"
)

// Observer is told what the engine does. It must be fast and safe for concurrent use.
type Observer interface {
	// Appended counts events of one type by the result of their append: appended, duplicate, conflict or refused.
	Appended(typ, result string, n int)
	// Processed counts events of one type by outcome: applied, rejected or parked.
	Processed(typ, outcome string, n int)
	// Lag is the time from an event's append to the commit of its processing, by the clock of the log.
	// The context is that of the batch.
	Lag(ctx context.Context, d time.Duration)
	// Batch is told the size of each committed batch and how long its phases took: claim, load, fold, store, commit.
	Batch(events int, phases map[string]time.Duration)
	// Retried counts batches that ended early or were rolled back, and are tried again, by reason: a class of storage errors,
	// payee (a transfer waits for a registration), or handler.
	Retried(reason string)
	// Handled is told of each message that a handler of the router had, which has the events of a batch: how long it took, and
	// whether it was acknowledged.
	Handled(handler string, took time.Duration, acked bool)
	// LaneBusy is told +1 when a lane starts on a batch and −1 when it is done with it.
	LaneBusy(delta int)
}

type nobody struct{}

func (nobody) Appended(string, string, int)        {}
func (nobody) Processed(string, string, int)       {}
func (nobody) Lag(context.Context, time.Duration)  {}
func (nobody) Batch(int, map[string]time.Duration) {}
func (nobody) Retried(string)                      {}
func (nobody) Handled(string, time.Duration, bool) {}
func (nobody) LaneBusy(int)                        {}
