package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/fnv"
)

// partitions is how many the log has.
const partitions = 64

// partitionOf is where the events of a subject belong: FNV-1a-32 of the subject, modulo 64.
func partitionOf(subject string) int {
	h := fnv.New32a()
	h.Write([]byte(subject))
	return int(h.Sum32() % partitions)
}

// Place is where an event stands in the log.
type Place struct {
	Partition int
	Position  int64
}

// Row is an event in the log.
type Row struct {
	Place
	Source, ID, Type, Subject string
	Data                      json.RawMessage
}

// Entry is a line of the ledger's journal.
type Entry struct {
	Place
	Leg             int
	Subject         string
	Seq             int64 // 0: the subject was no wallet
	Type            string
	Outcome, Reason string
	Amount, Fee     int64
	Balance         int64
}

// Account is a wallet's row.
type Account struct {
	Npub, Handle              string
	Balance, Opening, Entries int64
}

// Quote is a row of a payment quote.
type Quote struct {
	Quote, Npub string
	Amount      int64
	Paid        bool
}

// Books are the rows that a run left in the database.
type Books struct {
	Log      []Row
	Entries  []Entry
	Accounts []Account
	Quotes   []Quote
	Cursors  [partitions]int64
	Parked   []Place
}

// Queryer is what ReadBooks asks; a *sql.DB or a *sql.Tx.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// ReadBooks reads a database in which nothing happens any more.
func ReadBooks(ctx context.Context, q Queryer) (b Books, err error) {
	steps := []func() error{
		func() error {
			return each(ctx, q, `SELECT partition, position, source, id, type, subject, data FROM event_log WHERE topic = 'wallet'
				ORDER BY partition, position`, func(rows *sql.Rows) error {
				var r Row
				var data string
				err := rows.Scan(&r.Partition, &r.Position, &r.Source, &r.ID, &r.Type, &r.Subject, &data)
				r.Data = json.RawMessage(data)
				b.Log = append(b.Log, r)
				return err
			})
		},
		func() error {
			return each(ctx, q, `SELECT partition, position, leg, subject, coalesce(seq, 0), type, outcome, coalesce(reason, ''), amount, fee, balance
				FROM ledger_entry ORDER BY partition, position, leg`, func(rows *sql.Rows) error {
				var e Entry
				err := rows.Scan(&e.Partition, &e.Position, &e.Leg, &e.Subject, &e.Seq, &e.Type, &e.Outcome, &e.Reason, &e.Amount, &e.Fee, &e.Balance)
				b.Entries = append(b.Entries, e)
				return err
			})
		},
		func() error {
			return each(ctx, q, `SELECT npub, handle, balance, opening_balance, entry_count FROM registeredsafebox`, func(rows *sql.Rows) error {
				var a Account
				err := rows.Scan(&a.Npub, &a.Handle, &a.Balance, &a.Opening, &a.Entries)
				b.Accounts = append(b.Accounts, a)
				return err
			})
		},
		func() error {
			return each(ctx, q, `SELECT quote, coalesce(npub, ''), amount, paid FROM paymentquote`, func(rows *sql.Rows) error {
				var v Quote
				err := rows.Scan(&v.Quote, &v.Npub, &v.Amount, &v.Paid)
				b.Quotes = append(b.Quotes, v)
				return err
			})
		},
		func() error {
			return each(ctx, q, `SELECT partition, position FROM event_cursor WHERE topic = 'wallet' AND consumer_group = 'ledger'`, func(rows *sql.Rows) error {
				var p Place
				if err := rows.Scan(&p.Partition, &p.Position); err != nil {
					return err
				}
				if p.Partition < 0 || p.Partition >= partitions {
					return fmt.Errorf("a cursor of partition %d", p.Partition)
				}
				b.Cursors[p.Partition] = p.Position
				return nil
			})
		},
		func() error {
			return each(ctx, q, `SELECT partition, position FROM parked_event WHERE topic = 'wallet' AND consumer_group = 'ledger'`, func(rows *sql.Rows) error {
				var p Place
				err := rows.Scan(&p.Partition, &p.Position)
				b.Parked = append(b.Parked, p)
				return err
			})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return b, err
		}
	}
	return b, nil
}

func each(ctx context.Context, q Queryer, query string, row func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
