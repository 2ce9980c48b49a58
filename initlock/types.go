package initlock

import (
	"context"
	"errors"
	"log/slog"
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
	Revision         string    `json:"revision"`          // the schema's newest revision
	OldestCompatible string    `json:"oldest_compatible"` // the oldest revision whose programs may still work with it
	StartedAt        time.Time `json:"started_at"`
	FinishedAt       time.Time `json:"finished_at"`
	Error            string    `json:"error,omitempty"`
	Code             int       `json:"code,omitempty"` // the exit code that goes with Error
}

// Marker reads the ready marker, without the lock and without creating anything.
type Marker interface {
	// Read returns the marker; a Record with State Absent when there is none.
	Read(ctx context.Context) (Record, error)
	// Changed returns a channel that receives a value when the marker may have changed, where the database can tell;
	// nil where it cannot. It closes when ctx ends.
	Changed(ctx context.Context) <-chan struct{}
}

// Holder says who holds the lock.
type Holder struct {
	Name     string
	Since    time.Time
	Activity string // what it runs, as far as the database can tell
}

// Locker takes the lock.
type Locker interface {
	// TryLock takes the lock without waiting: ErrLocked when another has it.
	TryLock(ctx context.Context, name string) (Lease, error)
	// Holder tells who has the lock; false when nobody has.
	Holder(ctx context.Context) (Holder, bool, error)
}

// Lease is the lock, held. Everything it does runs on the connection that holds the lock, and dies with it.
type Lease interface {
	// Read reads the marker.
	Read(ctx context.Context) (Record, error)
	// Begin writes r as running with the next epoch, which it returns. It creates the marker where there is none.
	Begin(ctx context.Context, r Record) (epoch int64, err error)
	// Finish writes r, ready or failed, if r.Epoch is still the marker's; else ErrFenced.
	Finish(ctx context.Context, r Record) error
	// Release gives the lock back.
	Release(ctx context.Context) error
}

var (
	// ErrLocked says that another process holds the lock.
	ErrLocked = errors.New("initialisation lock is held by another process")
	// ErrFenced says that another leader has begun since: what this one did is no longer its to declare ready.
	ErrFenced = errors.New("another leader has begun a newer epoch")
)

// Options of Run.
type Options struct {
	Digest           string // over everything that initialise does
	Revision         string // the newest revision this build knows
	OldestCompatible string // the oldest revision whose programs work with Revision
	Name             string // this instance
	Logger           *slog.Logger
	Observer         Observer
	// Code gives the exit code of an error of initialise, for the waiters; nil: always 70.
	Code func(error) int
	// PollEvery is the longest time between two looks at the marker; zero: 50 ms.
	PollEvery time.Duration
}

// Outcome says how a process became ready.
type Outcome string

// The outcomes of Run; they are values of a metric label.
const (
	OutcomeAlreadyReady Outcome = "already_ready" // the marker was ready: no lock taken
	OutcomeLed          Outcome = "led"
	OutcomeFollowed     Outcome = "followed" // waited for a leader
	OutcomeNewer        Outcome = "newer"    // the schema is newer, and compatible
	OutcomeFailed       Outcome = "failed"
)

// Result of Run.
type Result struct {
	Outcome Outcome
	Record  Record
	Waited  time.Duration
	Worked  time.Duration
}

// Observer is told how the initialisation goes.
type Observer interface {
	InitState(s string)                         // waiting, leading, ready, failed
	InitPhase(phase string, took time.Duration) // wait, initialise
	InitElection(o Outcome)
}

// LeaderError is the error that the leader of the epoch we waited on ended with.
type LeaderError struct {
	Holder string
	Epoch  int64
	Text   string
	Code   int // its exit code
}

func (e *LeaderError) Error() string { return "the leader " + e.Holder + " failed: " + e.Text }
