package sqlite

import (
	"context"
	"errors"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/ledger"
)

// Audit implements storage.Reader: every statement reads one snapshot, so that workers may go on meanwhile.
func (db *DB) Audit(ctx context.Context, topic, group string) (a ledger.Audit, err error) {
	err = db.snapshot(ctx, func(on runner) error {
		each := func(q storage.Query, args []any, row func(), dest ...any) error {
			rows, err := db.queryOn(ctx, on, q, args...)
			if err != nil {
				return err
			}
			return rows.each(dest, func() error { row(); return nil })
		}
		var outcome ledger.OutcomeKind
		var reason string
		var n int64
		var f ledger.Finding
		finding := func(q storage.Query, args ...any) error {
			return each(q, args, func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail)
		}
		return errors.Join(
			each(qAuditLog, []any{topic, group}, func() {}, &a.Events, &a.Pending),
			each(qAuditOutcomes, nil, func() { a.Count(outcome, reason, n) }, &outcome, &reason, &n),
			each(qAuditSums, nil, func() {}, &a.Entries, &a.CreditTotal, &a.DebitTotal, &a.FeeTotal),
			each(qAuditWallets, nil, func() {}, &a.Wallets, &a.BalanceTotal, &a.OpeningTotal),
			each(qParkedCount, []any{topic, group}, func() {}, &a.Parked, &n),
			finding(qAuditLost, topic, group, ledger.MaxFindings+1),
			finding(qAuditStray, topic, ledger.MaxFindings+1),
			finding(qAuditChains, ledger.MaxFindings+1),
			finding(qAuditBalances, ledger.MaxFindings+1),
		)
	})
	if err != nil {
		return a, err
	}
	a.Conclude()
	return a, nil
}
