package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// judge holds the audit and the balances against the tally.
func (s *show) judge(ctx context.Context) error {
	audit, err := s.db.Audit(ctx, event.Topic, s.Group)
	if err != nil {
		return err
	}
	balances := map[string]int64{}
	for after := ""; ; {
		page, err := s.db.Wallets(ctx, after, 1000)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, w := range page {
			balances[w.Npub] = w.Balance
		}
		after = page[len(page)-1].Npub
	}
	t := s.script.Tally
	r := &s.report
	r.Lines, r.Events, r.Applied, r.Rejected, r.Parked = t.Lines, audit.Events, audit.Applied, audit.Rejected, audit.Parked
	r.Wallets, r.BalanceTotal, r.Reasons = len(balances), audit.BalanceTotal.Int64(), audit.Reasons
	r.Differences = append(r.Differences, compare(t, audit, balances, r.Duplicates)...)
	r.OK = len(r.Differences) == 0
	if !r.OK {
		return &FailedError{r.Differences}
	}
	s.say("audited", "the journal, the cursors and the balances agree, wallet by wallet")
	s.say("", "\n%s %s events in the log, %s applied, %s rejected,\nnone parked, none lost, none twice.",
		s.bold("Every event was applied exactly once:"), terminal.Count(r.Events), terminal.Count(r.Applied), terminal.Count(r.Rejected))
	s.say("", "Rejected, each for the reason it was made for:\n%s.", wrap(reasons(r.Reasons), 100))
	s.say("", "The balances of %s are those of an independent tally: %s sats in all.",
		terminal.Plural(r.Wallets, "wallet"), terminal.Count(r.BalanceTotal))
	return nil
}

// compare lists what is not as the tally says.
func compare(t Tally, a ledger.Audit, balances map[string]int64, duplicates int) []string {
	var diffs []string
	differ := func(what string, got, want int64) {
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%s: %s in the database, %s by the tally", what, terminal.Count(got), terminal.Count(want)))
		}
	}
	for _, f := range a.Findings {
		diffs = append(diffs, fmt.Sprintf("audit: %s: %s: %s", f.Check, f.Subject, f.Detail))
	}
	if !a.OK && len(a.Findings) == 0 {
		diffs = append(diffs, "audit: not ok")
	}
	differ("events in the log", a.Events, t.Events)
	differ("events not processed", a.Pending, 0)
	differ("events applied", a.Applied, t.Applied)
	differ("events rejected", a.Rejected, t.Rejected)
	differ("events parked", a.Parked, 0)
	differ("lines recognised as sent before", int64(duplicates), int64(t.Lines)-t.Events)
	for _, reason := range slices.Sorted(maps.Keys(t.Reasons)) {
		differ("rejected for "+reason, a.Reasons[reason], t.Reasons[reason])
	}
	differ("sum of the balances", a.BalanceTotal.Int64(), t.Total())
	differ("wallets", int64(len(balances)), int64(len(t.Balances)))
	for _, npub := range slices.Sorted(maps.Keys(t.Balances)) {
		differ("balance of "+npub, balances[npub], t.Balances[npub])
	}
	return diffs
}

// reasons lists counts in words, the largest first.
func reasons(counts map[string]int64) []string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(a, b)
	})
	for i, n := range names {
		names[i] = n + " " + terminal.Count(counts[n])
	}
	return names
}

// wrap joins words with commas into indented lines of at most width characters.
func wrap(words []string, width int) string {
	var lines []string
	line := " "
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if len(line)+1+len(w) > width {
			lines, line = append(lines, line), " "
		}
		line += " " + w
	}
	return strings.Join(append(lines, line), "\n")
}
