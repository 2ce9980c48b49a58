package initlock

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Options of Run. The zero value works: it leads whenever the marker is not ready.
type Options struct {
	Digest           string // over everything that the work does
	Revision         string // the revision that the work leaves the schema at; revisions sort as strings
	OldestCompatible string // the oldest revision whose programs work with Revision
	// Known is the newest revision that this build knows, by which a newer schema is told; "": Revision. Work that leaves
	// an older one, such as a downgrade, sets it.
	Known    string
	Name     string // this instance
	Logger   *slog.Logger
	Observer Observer
	// Code gives the exit code of an error of the work, for the waiters; nil: what a method ExitCode() int in the
	// error's chain says, else 70.
	Code func(error) int
	// PollEvery is the longest time between two looks at the marker; zero: 50 ms.
	PollEvery time.Duration
	// RetryFor is how long errors of the database that may pass are tried again before they end the run; zero: 30 s.
	RetryFor time.Duration
	// Force leads even if the marker is ready: for an operator's command that changes the schema. It still waits its
	// turn for the lock, and still leaves a newer schema alone.
	Force bool
}

const (
	defaultPollEvery = 50 * time.Millisecond
	defaultRetryFor  = 30 * time.Second
	codeBug          = 70 // EX_SOFTWARE of sysexits
	codeConfig       = 78 // EX_CONFIG
)

func (o Options) withDefaults() Options {
	if o.Known == "" {
		o.Known = o.Revision
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	if o.Code == nil {
		o.Code = exitCode
	}
	if o.PollEvery <= 0 {
		o.PollEvery = defaultPollEvery
	}
	if o.RetryFor <= 0 {
		o.RetryFor = defaultRetryFor
	}
	return o
}

func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return codeBug
}

// Outcome says how a process became ready.
type Outcome string

// The outcomes of Run; they are values of a metric label.
const (
	OutcomeAlreadyReady Outcome = "already_ready" // the marker was ready: nothing to wait for, nothing to do
	OutcomeLed          Outcome = "led"
	OutcomeFollowed     Outcome = "followed" // waited for a leader
	OutcomeNewer        Outcome = "newer"    // the schema is newer, and compatible
	OutcomeFailed       Outcome = "failed"
)

// Result of Run.
type Result struct {
	Outcome Outcome
	Record  Record        // the marker as it was last seen
	Waited  time.Duration // for leaders, all in all
	Worked  time.Duration // in the work
}

// Observer is told how the initialisation goes. It must be fast.
type Observer interface {
	InitState(s string)                         // waiting, leading, ready, failed
	InitPhase(phase string, took time.Duration) // wait, initialise
	InitElection(o Outcome)
}

type unobserved struct{}

func (unobserved) InitState(string)                {}
func (unobserved) InitPhase(string, time.Duration) {}
func (unobserved) InitElection(Outcome)            {}

type noteKey struct{}

// Note tells people who look at the marker, the lock or a waiter's log what the leader is doing now. ctx is the
// context that Run gave to the work, or one made from it; with any other Note does nothing. It may be called in the
// midst of a transaction. That nobody can be told is no error of the work: it is logged at the debug level.
func Note(ctx context.Context, activity string) {
	if note, ok := ctx.Value(noteKey{}).(func(context.Context, string)); ok {
		note(ctx, activity)
	}
}
