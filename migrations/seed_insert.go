package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/safebox/safebox/storage"
)

const (
	insertedColumns = "currency_code, currency_rate, currency_symbol, currency_description, refresh_time, fractional_unit, number_to_base"
	sqlAlchemyTime  = "2006-01-02 15:04:05.000000" // as SQLAlchemy keeps times in SQLite
)

// seedBatch is how many currencies one statement inserts.
const seedBatch = 100

// seed adds the currencies that the database does not have, in one transaction, and says how many it added.
func (j *job) seed(ctx context.Context) (int, error) {
	added := 0
	err := j.patiently(ctx, "seed currencies", func(ctx context.Context) error {
		added = 0
		return j.transact(ctx, func(tx *sql.Tx) error {
			for all := j.Seed.Currencies; len(all) > 0; {
				n := min(len(all), seedBatch)
				inserted, err := j.insert(ctx, tx, all[:n])
				if err != nil {
					return err
				}
				added, all = added+inserted, all[n:]
			}
			return nil
		})
	})
	if err != nil {
		return 0, fmt.Errorf("seed currencies (%s): %w", j.Seed.Source, err)
	}
	return added, nil
}

func (j *job) insert(ctx context.Context, tx *sql.Tx, currencies []Currency) (int, error) {
	var statement strings.Builder
	fmt.Fprintf(&statement, "INSERT INTO currencyrate (%s) VALUES ", insertedColumns)
	var values []any
	for i, c := range currencies {
		if i > 0 {
			statement.WriteString(", ")
		}
		n := len(values)
		fmt.Fprintf(&statement, "($%d, $%d, $%d, $%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6, n+7)
		values = append(values, c.Code, c.Rate, orNull(c.Symbol), orNull(c.Description), j.refreshedAt(c),
			orNull(c.FractionalUnit), c.NumberToBase)
	}
	statement.WriteString(" ON CONFLICT (currency_code) DO NOTHING")
	result, err := tx.ExecContext(ctx, statement.String(), values...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// insertion is the statement that insert runs, as text for a script.
func (j *job) insertion(currencies []Currency) string {
	rows := make([]string, len(currencies))
	for i, c := range currencies {
		rate, base, at := "NULL", "NULL", "NULL"
		if c.Rate != nil {
			rate = strconv.FormatFloat(*c.Rate, 'g', -1, 64)
		}
		if c.NumberToBase != nil {
			base = strconv.Itoa(int(*c.NumberToBase))
		}
		if !c.RefreshedAt.IsZero() {
			at = quote(c.RefreshedAt.UTC().Format(sqlAlchemyTime))
		}
		rows[i] = fmt.Sprintf("(%s, %s, %s, %s, %s, %s, %s)", quote(c.Code), rate, literal(c.Symbol), literal(c.Description), at,
			literal(c.FractionalUnit), base)
	}
	return fmt.Sprintf("INSERT INTO currencyrate (%s) VALUES\n  %s\n  ON CONFLICT (currency_code) DO NOTHING", insertedColumns, strings.Join(rows, ",\n  "))
}

func literal(s string) string {
	if s == "" {
		return "NULL"
	}
	return quote(s)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// refreshedAt is the time as the dialect keeps it: SQLite has SQLAlchemy's text.
func (j *job) refreshedAt(c Currency) any {
	switch {
	case c.RefreshedAt.IsZero():
		return nil
	case j.Dialect == storage.SQLite:
		return c.RefreshedAt.Format(sqlAlchemyTime)
	default:
		return c.RefreshedAt
	}
}

// foreseeSupported refuses supported currencies that neither the database nor the seed has, before anything is written.
func (j *job) foreseeSupported(ctx context.Context, c catalogue) error {
	have := map[string]bool{}
	for _, currency := range j.Seed.Currencies {
		have[currency.Code] = true
	}
	return j.missing(ctx, c, have)
}

// verifySupported makes sure that every supported currency is in the database.
func (j *job) verifySupported(ctx context.Context) error {
	return j.missing(ctx, catalogue{"currencyrate": {}}, map[string]bool{})
}

// missing adds what the table has to the currencies that one has, and refuses the supported ones that are not there.
func (j *job) missing(ctx context.Context, c catalogue, have map[string]bool) error {
	if _, ok := c["currencyrate"]; ok {
		codes, err := readStrings(ctx, j.db, "SELECT currency_code FROM currencyrate")
		if err != nil {
			return fmt.Errorf("read the currencies: %w", err)
		}
		for _, code := range codes {
			have[code] = true
		}
	}
	var missing []string
	for _, code := range j.Supported {
		if !have[code] {
			missing = append(missing, code)
		}
	}
	if len(missing) > 0 {
		return &SupportedError{missing, j.Seed.Source}
	}
	return nil
}
