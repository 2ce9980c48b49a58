package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func (a *app) auditCommand() *cobra.Command {
	var rebuild bool
	c := a.printing(&cobra.Command{
		Use: "audit", Short: "Prove that every event was applied exactly once and every balance follows from the journal",
		Long: "audit reads the log, the journal and the wallets in one snapshot and holds them against one another. It exits 65 when\n" +
			"something does not fit, and lists it. With --rebuild it folds the whole log again as well, from nothing and in memory,\n" +
			"and compares every outcome, every entry and every wallet with what comes of that; it writes nothing. That takes memory\n" +
			"for the wallets, their quotes and the ids of nonces, not for the events.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.query(cmd.Context(), "audit", func(ctx context.Context, db storage.DB) error {
				var audit ledger.Audit
				var err error
				if rebuild {
					progress := terminal.NewProgress(a.err)
					audit, err = db.Rebuild(ctx, event.Topic, ledgerGroup, func(events int64) {
						progress.Say(func() string { return terminal.Plural(events, "event") + " folded again" })
					})
					progress.Clear()
				} else {
					audit, err = auditTelling(ctx, a.err, db)
				}
				if err != nil {
					return err
				}
				audit.Findings = list(audit.Findings)
				if audit.Reasons == nil {
					audit.Reasons = map[string]int64{}
				}
				if err := a.print(audit, func() error { return a.printAudit(audit) }); err != nil {
					return err
				}
				if !audit.OK {
					return &failure{
						Code: exitData, Err: errors.New("the audit failed: the log, the journal and the wallets do not agree"),
						Todo: "keep the database as it is, and look into the findings before anything else",
					}
				}
				return nil
			})
		},
	})
	c.Flags().BoolVar(&rebuild, "rebuild", false, "fold the whole log again and compare what comes of it")
	return c
}

// auditTelling is the audit, and says on out that it goes on.
func auditTelling(ctx context.Context, out io.Writer, db storage.DB) (ledger.Audit, error) {
	n := narrate(ctx, out, db)
	defer n.end()
	n.say("holding the log, the journal and the wallets against one another")
	return db.Audit(ctx, event.Topic, ledgerGroup)
}

func (a *app) printAudit(audit ledger.Audit) error {
	t := terminal.NewTable(a.out, "events in the log", ":"+terminal.Count(audit.Events))
	for _, row := range []struct {
		name string
		n    int64
	}{
		{"not processed yet", audit.Pending},
		{"applied", audit.Applied},
		{"rejected", audit.Rejected},
		{"parked", audit.Parked},
		{"wallets", audit.Wallets},
		{"journal entries", audit.Entries},
	} {
		t.Row(row.name, terminal.Count(row.n))
	}
	for _, row := range []struct {
		name string
		sum  ledger.Sum
	}{
		{"opening balances, sats", audit.OpeningTotal},
		{"+ credits", audit.CreditTotal},
		{"- debits", audit.DebitTotal},
		{"- fees", audit.FeeTotal},
		{"= balances", audit.BalanceTotal},
	} {
		t.Row(row.name, terminal.Digits(row.sum.String()))
	}
	if r := audit.Rebuilt; r != nil {
		t.Row("folded again", terminal.Count(r.Events))
		t.Row("wallets from before the events", terminal.Count(r.Adopted))
		t.Row("rejections that only those explain", terminal.Count(r.Unproved))
	}
	for _, reason := range slices.Sorted(maps.Keys(audit.Reasons)) {
		t.Row("rejected: "+reason, terminal.Count(audit.Reasons[reason]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(audit.Findings) > 0 {
		if err := a.printf(""); err != nil {
			return err
		}
		t = terminal.NewTable(a.out, "CHECK", "SUBJECT", "WHAT IS WRONG")
		for _, f := range audit.Findings {
			t.Row(f.Check, f.Subject, f.Detail)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if audit.Truncated {
			if err := a.printf("and more than these %s", terminal.Count(len(audit.Findings))); err != nil {
				return err
			}
		}
	}
	return a.printf("\n%s", verdict(audit))
}

// verdict says the audit in one sentence.
func verdict(audit ledger.Audit) string {
	switch {
	case !audit.OK:
		return "The books do not agree."
	case audit.Pending > 0:
		return "The books agree so far; " + terminal.Plural(audit.Pending, "event") + " not processed yet."
	case audit.Parked > 0:
		return "The books agree; " + terminal.Plural(audit.Parked, "event") + " parked: `safebox parked list` shows them."
	case audit.Rebuilt != nil:
		return "Every event was applied or rejected exactly once, and the log folded again makes the same books."
	default:
		return "Every event was applied or rejected exactly once, and every balance follows from the journal."
	}
}
