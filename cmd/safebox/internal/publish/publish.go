// Package publish appends a file of events to the event log.
//
//  1. Good lines are appended beside bad ones; a bad line is reported with its number, and reading goes on.
//  2. Events are appended in the order of the file, so events of one subject keep their order.
//  3. An append that failed for a passing reason is tried again. That is safe, because the log remembers the identity of
//     every event: what was written by an attempt whose answer was lost is then counted as a duplicate.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// BatchSize is the most events that one append takes.
const BatchSize = 1000

// Problem is a line that was not taken.
type Problem struct {
	Line   int    `json:"line"`
	Result string `json:"result"` // refused or conflict
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Source string `json:"source,omitempty"`
	ID     string `json:"id,omitempty"`
}

func (p Problem) String() string {
	where := ""
	if p.Field != "" {
		where = p.Field + ": "
	}
	return fmt.Sprintf("line %d: %s%s", p.Line, where, p.Reason)
}

// Summary counts the lines by what became of them.
type Summary struct {
	Lines      int `json:"lines"` // that held something
	Appended   int `json:"appended"`
	Duplicates int `json:"duplicates"`
	Conflicts  int `json:"conflicts"`
	Refused    int `json:"refused"`
	// Problems are the first MaxProblems lines that were refused or in conflict.
	Problems        []Problem `json:"problems"`
	ProblemsOmitted int       `json:"problems_omitted"`
}

// MaxProblems is the most problems that a summary keeps; the counts go on.
const MaxProblems = 1000

// Clean tells whether every line is in the log.
func (s *Summary) Clean() bool { return s.Conflicts == 0 && s.Refused == 0 }

// Options of a run.
type Options struct {
	// Patience is how long an append that fails for a passing reason is tried again; zero: 30 s.
	Patience time.Duration
	// Problem is called for each line that is not taken; may be nil.
	Problem func(Problem)
	// Progress is called after each append; may be nil.
	Progress func(Summary)
}

// Lines appends what in holds: JSON lines, an event each. The summary is right also when an error ends the run early.
func Lines(ctx context.Context, log Appender, in io.Reader, o Options) (Summary, error) {
	p := publisher{log: log, o: o, sum: Summary{Problems: []Problem{}}}
	reader := event.NewLineReader(in)
	for {
		line, ev, err := reader.Next()
		var refusal *event.Refusal
		switch {
		case errors.Is(err, io.EOF):
			return p.sum, p.flush(ctx)
		case errors.As(err, &refusal):
			p.sum.Lines++
			p.refuse(line, refusal)
		case err != nil:
			return p.sum, errors.Join(fmt.Errorf("reading line %d: %w", line, err), p.flush(ctx))
		default:
			p.sum.Lines++
			p.events, p.lines = append(p.events, ev), append(p.lines, line)
		}
		if len(p.events) >= BatchSize {
			if err := p.flush(ctx); err != nil {
				return p.sum, err
			}
		}
	}
}

type publisher struct {
	log    Appender
	o      Options
	events []event.Event
	lines  []int
	sum    Summary
}

func (p *publisher) refuse(line int, r *event.Refusal) {
	p.sum.Refused++
	p.problem(Problem{Line: line, Result: "refused", Field: r.Field, Reason: r.Reason, Source: r.Source, ID: r.ID})
}

func (p *publisher) problem(pr Problem) {
	if len(p.sum.Problems) < MaxProblems {
		p.sum.Problems = append(p.sum.Problems, pr)
	} else {
		p.sum.ProblemsOmitted++
	}
	if p.o.Problem != nil {
		p.o.Problem(pr)
	}
}

// flush appends what was read so far.
func (p *publisher) flush(ctx context.Context) error {
	if len(p.events) == 0 {
		return nil
	}
	receipts, err := Append(ctx, p.log, p.events, p.o.Patience)
	if err != nil {
		return fmt.Errorf("lines %d to %d could not be appended: %w", p.lines[0], p.lines[len(p.lines)-1], err)
	}
	for i, r := range receipts {
		switch ev := p.events[i]; r.Result {
		case event.Appended:
			p.sum.Appended++
		case event.Duplicate:
			p.sum.Duplicates++
		case event.Refused:
			p.refuse(p.lines[i], r.Refusal)
		case event.Conflict:
			p.sum.Conflicts++
			p.problem(Problem{
				Line: p.lines[i], Result: "conflict", Source: ev.Source, ID: ev.ID,
				Reason: fmt.Sprintf("the log has an event %q of source %q with other content; nothing was written", ev.ID, ev.Source),
			})
		}
	}
	p.events, p.lines = p.events[:0], p.lines[:0]
	if p.o.Progress != nil {
		p.o.Progress(p.sum)
	}
	return nil
}
