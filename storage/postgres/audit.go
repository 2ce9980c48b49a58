package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/ledger"
)

// Audit implements storage.Reader: every statement reads one snapshot, so that workers may go on meanwhile.
func (db *DB) Audit(ctx context.Context, topic, group string) (ledger.Audit, error) {
	var a ledger.Audit
	conn, err := db.acquire(ctx)
	if err != nil {
		return a, err
	}
	b := &Batch{conn: conn} // for its rollback
	defer b.Rollback()
	if _, err := conn.Exec(ctx, qAuditBegin.SQL); err != nil {
		return a, wrap(qAuditBegin.Name, err)
	}
	rows := func(q storage.Query, args ...any) func(row func(), into ...any) error {
		return func(row func(), into ...any) error { return auditRows(ctx, conn, q, args, row, into) }
	}
	var outcome ledger.OutcomeKind
	var reason string
	var n int64
	var f ledger.Finding
	for _, err := range []error{
		rows(qAuditLog, topic, group)(func() {}, &a.Events, &a.Pending),
		rows(qAuditOutcomes)(func() { a.Count(outcome, reason, n) }, &outcome, &reason, &n),
		rows(qAuditSums)(func() {}, &a.Entries, &a.CreditTotal, &a.DebitTotal, &a.FeeTotal),
		rows(qAuditWallets)(func() {}, &a.Wallets, &a.BalanceTotal, &a.OpeningTotal),
		rows(qParkedCount, topic, group)(func() {}, &a.Parked, &n),
		rows(qAuditLost, topic, group, ledger.MaxFindings+1)(func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail),
		rows(qAuditStray, topic, ledger.MaxFindings+1)(func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail),
		rows(qAuditChains, ledger.MaxFindings+1)(func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail),
		rows(qAuditBalances, ledger.MaxFindings+1)(func() { a.Find(f) }, &f.Check, &f.Subject, &f.Detail),
	} {
		if err != nil {
			return a, err
		}
	}
	a.Conclude()
	return a, nil
}

func auditRows(ctx context.Context, conn *pgxpool.Conn, q storage.Query, args []any, row func(), into []any) error {
	rows, _ := conn.Query(ctx, q.SQL, args...) // ForEachRow returns the error of the query
	_, err := pgx.ForEachRow(rows, into, func() error { row(); return nil })
	return wrap(q.Name, err)
}
