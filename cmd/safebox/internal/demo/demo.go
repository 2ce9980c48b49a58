package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/cmd/safebox/internal/throwaway"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// Replicas is the number of worker processes.
const Replicas = 3

const (
	stall    = 20 * time.Second      // nothing moved for so long: the demo has failed
	look     = 50 * time.Millisecond // between two looks at the cursors
	pace     = 25 * time.Millisecond // between two appends, so that one can watch
	watched  = 4 * time.Second       // how long publishing takes at most because of it
	patience = 40 * time.Second      // for replicas to drain, more than SAFEBOX_DRAIN_SECONDS
	farewell = 10 * time.Second      // for removing the database after a failure or a Ctrl-C
)

// Options of a demo.
type Options struct {
	Database storage.URL // where to make the throw-away database; zero: a SQLite file in a temporary folder
	Group    string      // the consumer group of the ledger
	Events   int         // lines of activity; zero: 12,000
	Seed     uint64      // of the script; zero: 1
	// Environ is the environment of the replicas, without the variables that configure them.
	Environ []string
	Out     io.Writer // tells the story
	Live    io.Writer // shows progress
	Logger  *slog.Logger
}

// Report is what the demo came to.
type Report struct {
	OK           bool             `json:"ok"`
	Dialect      storage.Dialect  `json:"dialect"`
	Replicas     int              `json:"replicas"`
	Leader       string           `json:"leader"`
	Killed       string           `json:"killed"`
	Lines        int              `json:"lines"`
	Events       int64            `json:"events"`
	Duplicates   int              `json:"duplicates"`
	Applied      int64            `json:"applied"`
	Rejected     int64            `json:"rejected"`
	Parked       int64            `json:"parked"`
	Wallets      int              `json:"wallets"`
	BalanceTotal int64            `json:"balance_total"`
	Reasons      map[string]int64 `json:"reasons"`
	Seconds      float64          `json:"seconds"`
	Differences  []string         `json:"differences"`
}

// FailedError says that the database is not what the events should have made of it.
type FailedError struct{ Differences []string }

func (e *FailedError) Error() string {
	return "the database is not what the events should have made of it:\n" + strings.Join(e.Differences, "\n")
}

// ExitCode is that of a failed audit.
func (e *FailedError) ExitCode() int { return 65 }

// Run shows the demo. It fails unless everything came out right.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if o.Events <= 0 {
		o.Events = 12_000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	begun := time.Now()
	report = Report{Replicas: Replicas, Reasons: map[string]int64{}, Differences: []string{}}
	base, remove, err := throwaway.Database(ctx, o.Database, "demo")
	if err != nil {
		return report, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		err = errors.Join(err, remove(ctx))
	}()

	s := show{Options: o, bold: terminal.Bold(o.Out), script: NewScript(o.Seed, o.Events)}
	report.Dialect = base.Dialect
	s.report = report
	s.say("", "safebox demo: three replicas on one throw-away %s database", map[storage.Dialect]string{
		storage.PostgreSQL: "PostgreSQL", storage.SQLite: "SQLite",
	}[base.Dialect])

	exe, err := os.Executable()
	if err != nil {
		return report, fmt.Errorf("finding this program, to start it three times: %w", err)
	}
	env := append(append([]string{}, o.Environ...), "DATABASE="+base.Reveal(), "SAFEBOX_HTTP_ADDR=127.0.0.1:0", "SAFEBOX_LOG_FORMAT=json")
	s.herd, err = launch(exe, Replicas, env)
	if err != nil {
		return report, err
	}
	defer s.herd.kill()
	s.say("started", "%d replicas at the same moment", Replicas)

	s.db, err = storage.Open(ctx, storage.Options{URL: base, Role: "demo", Instance: "demo", Logger: o.Logger})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()

	err = s.play(ctx)
	s.report.Seconds = time.Since(begun).Seconds()
	return s.report, err
}

// show is a demo under way.
type show struct {
	Options
	bold   func(string) string
	script Script
	herd   *herd
	killed *replica
	db     storage.DB
	report Report
}

// say prints one line of the story, under a word that says what happened.
func (s *show) say(word, format string, args ...any) {
	if word != "" {
		word = s.bold(fmt.Sprintf("  %-11s", word))
	}
	fmt.Fprintln(s.Out, word+fmt.Sprintf(format, args...))
}

func (s *show) play(ctx context.Context) error {
	if err := s.led(ctx); err != nil {
		return err
	}
	setup, err := decode(s.script.Setup)
	if err != nil {
		return err
	}
	if err := s.feed(ctx, setup, 0); err != nil {
		return err
	}
	s.say("opened", "%s with %s sats in all, by %s events", terminal.Plural(Wallets, "wallet"), terminal.Count(s.openings()), terminal.Count(len(setup)))
	activity, err := decode(s.script.Activity)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := s.feed(ctx, activity, len(activity)*2/5); err != nil {
		return err
	}
	s.say("drained", "%s lines in %.1f s; %s of them had been sent before and were recognised",
		terminal.Count(len(activity)), time.Since(begun).Seconds(), terminal.Count(s.report.Duplicates))
	stopped, err := s.herd.stop(ctx, patience)
	if err != nil {
		return err
	}
	s.say("stopped", "the other %d with SIGTERM; each finished its work and ended with status 0", stopped)
	return s.judge(ctx)
}

func (s *show) openings() int64 {
	return int64(Wallets) * int64(s.Events+1) * (mostSats + mostFee)
}

func decode(lines []rawLine) ([]event.Event, error) {
	events := make([]event.Event, len(lines))
	for i, line := range lines {
		ev, err := event.Decode(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the demo's own events: %w", i+1, err)
		}
		events[i] = ev
	}
	return events, nil
}
