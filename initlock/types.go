package initlock

import (
	"context"
	"time"
)

// State is the state of the ready marker.
type State string

// The states of the marker. Absent is what a database shows that nobody has initialised.
const (
	Absent  State = ""
	Running State = "running"
	Ready   State = "ready"
	Failed  State = "failed"
)

// Record is the ready marker: one row in the database.
type Record struct {
	State            State     `json:"state"`
	Epoch            int64     `json:"epoch"`  // grows by one with every election that did work
	Digest           string    `json:"digest"` // what the leader set out to make
	Holder           string    `json:"holder"` // the instance that leads or led
	Activity         string    `json:"activity"`
	Revision         string    `json:"revision"`          // the schema's newest revision, as the last leader that ended well left it
	OldestCompatible string    `json:"oldest_compatible"` // the oldest revision whose programs may still work with it
	StartedAt        time.Time `json:"started_at"`
	FinishedAt       time.Time `json:"finished_at"`
	Error            string    `json:"error,omitempty"`
	Code             int       `json:"code,omitempty"` // the exit code that goes with Error
}

// Marker reads the ready marker, without the lock and without creating anything.
type Marker interface {
	// Read returns the marker; a Record with State Absent when there is none. It is one short statement outside any
	// transaction: between two reads a waiter holds no snapshot.
	Read(ctx context.Context) (Record, error)
	// Changed returns a channel that receives a value when the marker may have changed, where the database can tell;
	// nil where it cannot. It closes when ctx ends, or earlier when the database stops telling. Values may be missing
	// and may be too many: they only spare the reader the rest of its pause.
	Changed(ctx context.Context) <-chan struct{}
}

// Holder says who holds the lock.
type Holder struct {
	Name     string
	Since    time.Time // zero where it is not known
	Activity string    // what it runs, as far as the database can tell
}

// Locker takes the lock. Implementations must:
//
//   - let at most one Lease of a database live at a time, over all processes;
//   - free the lock when the holder's process, or its connection, dies;
//   - never wait inside a statement or a transaction for another holder.
//
// An error that a later attempt may not meet (a lost connection, too many clients) has a method Transient() bool that
// says so: Run tries those again.
type Locker interface {
	// TryLock takes the lock without waiting: ErrLocked when another has it. The name is told to whoever asks for the
	// holder. Being refused must be cheap: waiters ask a few times a second.
	TryLock(ctx context.Context, name string) (Lease, error)
	// Holder tells who has the lock; false when nobody has.
	Holder(ctx context.Context) (Holder, bool, error)
}

// Lease is the lock, held. Everything it does but Activity runs on the connection that holds the lock, and dies with it.
type Lease interface {
	// Read reads the marker.
	Read(ctx context.Context) (Record, error)
	// Begin writes State running, the Digest and the Holder of r and the next epoch, which it returns, in one
	// transaction. It creates the marker where there is none, clears what an earlier leader left of its activity, end
	// and error, and keeps Revision and OldestCompatible, which the schema has until a leader ends well. StartedAt is
	// the database's time.
	Begin(ctx context.Context, r Record) (epoch int64, err error)
	// Finish writes the State of r, ready or failed, if r.Epoch is still the marker's; else ErrFenced. Ready writes
	// Revision and OldestCompatible, failed Error and Code. FinishedAt is the database's time. Then it wakes those who
	// wait on Marker.Changed.
	Finish(ctx context.Context, r Record) error
	// Activity tells people what the leader of the epoch that Begin returned is doing. It must not run on the
	// connection that holds the lock, which may be in the midst of a transaction; it changes nothing when the marker
	// has a newer epoch.
	Activity(ctx context.Context, text string) error
	// Release gives the lock back. It is called once, and works though the connection is lost.
	Release(ctx context.Context) error
}
