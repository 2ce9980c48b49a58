package publish_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/worker/event"
)

// memory is an appender that keeps what it is given, after failing as often as it is told to.
type memory struct {
	events   []event.Event
	batches  []int
	failures int
	failure  error
	known    map[string]event.Event
}

func (m *memory) Append(_ context.Context, _ string, events []event.Event) ([]event.Receipt, error) {
	if m.failures > 0 {
		m.failures--
		return nil, m.failure
	}
	if m.known == nil {
		m.known = map[string]event.Event{}
	}
	m.batches = append(m.batches, len(events))
	receipts := make([]event.Receipt, len(events))
	for i, ev := range events {
		switch old, there := m.known[ev.ID]; {
		case !there:
			m.known[ev.ID], receipts[i].Result = ev, event.Appended
			m.events = append(m.events, ev)
		case old.SameContent(ev):
			receipts[i].Result = event.Duplicate
		default:
			receipts[i].Result = event.Conflict
		}
	}
	return receipts, nil
}

type passingError struct{}

func (passingError) Error() string   { return "the database is busy" }
func (passingError) Transient() bool { return true }

var npub = event.EncodeNpub([32]byte{1})

func credit(id string, amount int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/t","type":"safebox.funds.credited.v1","subject":%q,"data":{"amount":%d}}`, id, npub, amount)
}

func TestGoodLinesAreAppendedBesideBadOnes(t *testing.T) {
	in := strings.Join([]string{credit("a", 1), "", credit("b", -1), "nonsense", credit("a", 1), credit("a", 2), credit("c", 3)}, "\n")
	var told []publish.Problem
	log := &memory{}
	sum, err := publish.Lines(t.Context(), log, strings.NewReader(in), publish.Options{
		Problem: func(p publish.Problem) { told = append(told, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Lines != 6 || sum.Appended != 2 || sum.Duplicates != 1 || sum.Conflicts != 1 || sum.Refused != 2 || sum.Clean() {
		t.Errorf("%+v", sum)
	}
	if diff := cmp.Diff(sum.Problems, told); diff != "" {
		t.Error(diff)
	}
	var where []string
	for _, p := range told {
		where = append(where, fmt.Sprint(p.Line, " ", p.Result, " ", p.Field))
	}
	if diff := cmp.Diff([]string{"3 refused data.amount", "4 refused ", "6 conflict "}, where); diff != "" {
		t.Error(diff)
	}
}

func TestEventsAreAppendedInBatchesInTheOrderOfTheFile(t *testing.T) {
	const n = 2*publish.BatchSize + 7
	var in strings.Builder
	for i := range n {
		in.WriteString(credit(fmt.Sprint(i), i+1) + "\n")
	}
	log := &memory{}
	sum, err := publish.Lines(t.Context(), log, strings.NewReader(in.String()), publish.Options{})
	if err != nil || sum.Appended != n || !sum.Clean() {
		t.Fatalf("%+v, %v", sum, err)
	}
	if diff := cmp.Diff([]int{publish.BatchSize, publish.BatchSize, 7}, log.batches); diff != "" {
		t.Error(diff)
	}
	for i, ev := range log.events {
		if ev.ID != fmt.Sprint(i) {
			t.Fatalf("event %s at place %d", ev.ID, i)
		}
	}
}

func TestProblemsAreCountedBeyondThoseThatAreKept(t *testing.T) {
	in := strings.Repeat("nonsense\n", publish.MaxProblems+5)
	sum, err := publish.Lines(t.Context(), &memory{}, strings.NewReader(in), publish.Options{})
	if err != nil || sum.Refused != publish.MaxProblems+5 || len(sum.Problems) != publish.MaxProblems || sum.ProblemsOmitted != 5 {
		t.Errorf("refused %d, kept %d, omitted %d, %v", sum.Refused, len(sum.Problems), sum.ProblemsOmitted, err)
	}
}

func TestWhatWasReadBeforeAReadErrorIsAppended(t *testing.T) {
	broken := errors.New("the disk is gone")
	log := &memory{}
	sum, err := publish.Lines(t.Context(), log, io.MultiReader(strings.NewReader(credit("a", 1)+"\n"), iotest.ErrReader(broken)), publish.Options{})
	if !errors.Is(err, broken) || sum.Appended != 1 || len(log.events) != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAppendTriesAgainOnlyWhatMayPassAndOnlyForItsPatience(t *testing.T) {
	events := []event.Event{{ID: "a"}}
	for _, c := range []struct {
		name     string
		failures int
		failure  error
		patience time.Duration
		want     error
		most     time.Duration
	}{
		{"a failure that passes", 3, passingError{}, time.Minute, nil, 10 * time.Second},
		{"a failure that stays", 1 << 30, passingError{}, time.Minute, passingError{}, time.Minute},
		{"a failure that no waiting mends", 1 << 30, io.ErrUnexpectedEOF, time.Minute, io.ErrUnexpectedEOF, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &memory{failures: c.failures, failure: c.failure}
				begun := time.Now()
				_, err := publish.Append(t.Context(), log, events, c.patience)
				if !errors.Is(err, c.want) || time.Since(begun) > c.most {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			})
		})
	}
}

func TestAppendStopsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := publish.Append(ctx, &memory{failures: 1 << 30, failure: passingError{}}, nil, time.Hour)
	if err == nil {
		t.Error("no error")
	}
}
