package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// page is how many rows one statement reads.
const page = 1000

func (a *app) walletCommand() *cobra.Command {
	wallet := &cobra.Command{Use: "wallet", Short: "Read wallets"}
	wallet.AddCommand(a.walletShow(), a.walletList(), a.walletHistory())
	return group(wallet)
}

func (a *app) walletShow() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "show KEY", Short: "Show a wallet by its npub or handle",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "wallet", func(ctx context.Context, db storage.DB) error {
				w, err := findWallet(ctx, db, args[0])
				if err != nil {
					return err
				}
				return a.print(w, func() error {
					t := terminal.NewTable(a.out, "npub", w.Npub)
					t.Row("handle", w.Handle)
					t.Row("custom handle", text(w.CustomHandle))
					t.Row("owner", text(w.Owner))
					t.Row("home relay", w.HomeRelay)
					t.Row("currency", text(w.CurrencyCode))
					t.Row("balance", terminal.Count(w.Balance)+" sats")
					t.Row("opened with", terminal.Count(w.OpeningBalance)+" sats")
					t.Row("entries", terminal.Count(w.EntryCount))
					return t.Flush()
				})
			})
		},
	})
}

func findWallet(ctx context.Context, db storage.DB, key string) (ledger.Wallet, error) {
	w, err := db.Wallet(ctx, key)
	if err != nil {
		return w, fmt.Errorf("wallet %q: %w", key, err)
	}
	return w, nil
}

func (a *app) walletList() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "list", Short: "List the wallets by npub",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.query(cmd.Context(), "wallet", func(ctx context.Context, db storage.DB) error {
				pages := func(yield func([]ledger.Wallet) error) error { return eachWallet(ctx, db, yield) }
				if a.json {
					return streamJSON(a.out, pages)
				}
				t := terminal.NewTable(a.out, "NPUB", "HANDLE", ":BALANCE")
				if err := pages(func(ws []ledger.Wallet) error {
					for _, w := range ws {
						t.Row(w.Npub, w.Handle, terminal.Count(w.Balance))
					}
					return t.Flush()
				}); err != nil {
					return err
				}
				return t.Flush()
			})
		},
	})
}

// eachWallet reads every wallet, a page at a time.
func eachWallet(ctx context.Context, db storage.DB, yield func([]ledger.Wallet) error) error {
	for after := ""; ; {
		ws, err := db.Wallets(ctx, after, page)
		if err != nil || len(ws) == 0 {
			return err
		}
		if err := yield(ws); err != nil {
			return err
		}
		after = ws[len(ws)-1].Npub
	}
}

func (a *app) walletHistory() *cobra.Command {
	return a.printing(&cobra.Command{
		Use: "history KEY", Short: "List the journal of a wallet, or of any other subject of events",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), "wallet", func(ctx context.Context, db storage.DB) error {
				subject, err := subjectOf(ctx, db, args[0])
				if err != nil {
					return err
				}
				pages := func(yield func([]ledger.Entry) error) error { return eachEntry(ctx, db, subject, yield) }
				if a.json {
					return streamJSON(a.out, pages)
				}
				t := terminal.NewTable(a.out, ":SEQ", "AT", "TYPE", "OUTCOME", ":AMOUNT", ":FEE", ":BALANCE")
				if err := pages(func(es []ledger.Entry) error {
					for _, e := range es {
						t.Row(seq(e), terminal.Moment(e.At), e.Type, outcome(e), terminal.Count(e.Amount), terminal.Count(e.Fee), terminal.Count(e.Balance))
					}
					return t.Flush()
				}); err != nil {
					return err
				}
				return t.Flush()
			})
		},
	})
}

// subjectOf is the npub of the wallet that key names; a key that names no wallet is a subject itself, if it has entries.
func subjectOf(ctx context.Context, db storage.DB, key string) (string, error) {
	w, err := db.Wallet(ctx, key)
	if err == nil {
		return w.Npub, nil
	}
	if exitCode(err) != exitCode(event.ErrNotFound) {
		return "", err
	}
	if es, entriesErr := db.Entries(ctx, key, 0, 1); entriesErr != nil || len(es) == 0 {
		if entriesErr != nil {
			return "", entriesErr
		}
		return "", fmt.Errorf("wallet %q: %w", key, err)
	}
	return key, nil
}

// eachEntry reads the whole journal of a subject, a page at a time.
func eachEntry(ctx context.Context, db storage.DB, subject string, yield func([]ledger.Entry) error) error {
	after, size := int64(0), page
	for {
		es, err := db.Entries(ctx, subject, after, size)
		if err != nil || len(es) == 0 {
			return err
		}
		// Entries without a number come first and cannot be paged by it: a first page of nothing else is read larger.
		if last := es[len(es)-1].Seq; last != 0 {
			after = last
		} else if len(es) == size {
			size *= 4
			continue
		}
		if err := yield(es); err != nil {
			return err
		}
		if len(es) < size {
			return nil
		}
	}
}

// streamJSON writes pages of items as one JSON array, so that a long list needs no memory.
func streamJSON[T any](out io.Writer, pages func(yield func([]T) error) error) error {
	sep := "[\n  "
	err := pages(func(items []T) error {
		for _, item := range items {
			b, err := json.MarshalIndent(item, "  ", "  ")
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s%s", sep, b); err != nil {
				return err
			}
			sep = ",\n  "
		}
		return nil
	})
	if err != nil {
		return err
	}
	end := "\n]\n"
	if sep[0] == '[' {
		end = "[]\n"
	}
	_, err = io.WriteString(out, end)
	return err
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func seq(e ledger.Entry) string {
	if e.Seq == 0 {
		return "-"
	}
	return terminal.Count(e.Seq)
}

func outcome(e ledger.Entry) string {
	if e.Reason == "" {
		return string(e.Outcome)
	}
	return string(e.Outcome) + ": " + e.Reason
}
