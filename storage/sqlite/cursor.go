package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// params binds the values of a statement on the writer's connection, from left to right.
type params struct {
	stmt *sqlite3.Stmt
	n    int
	err  error
}

func (p *params) next() int { p.n++; return p.n }

func (p *params) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *params) integer(v int64) { p.keep(p.stmt.BindInt64(p.next(), v)) }

func (p *params) text(v string) { p.keep(p.stmt.BindText(p.next(), v)) }

func (p *params) null() { p.keep(p.stmt.BindNull(p.next())) }

// optional binds null for nil.
func (p *params) optional(v *string) {
	if v == nil {
		p.null()
		return
	}
	p.text(*v)
}

// all binds values of any types.
func (p *params) all(values ...any) {
	for _, v := range values {
		p.any(v)
	}
}

// any binds a value of every type that database/sql takes, but for times, which have more than one form here.
func (p *params) any(v any) {
	switch v := v.(type) {
	case string:
		p.text(v)
		return
	case int:
		p.integer(int64(v))
		return
	}
	plain, err := driver.DefaultParameterConverter.ConvertValue(v)
	if err != nil {
		p.keep(err)
		return
	}
	switch v := plain.(type) {
	case nil:
		p.null()
	case int64:
		p.integer(v)
	case string:
		p.text(v)
	case bool:
		p.keep(p.stmt.BindBool(p.next(), v))
	case float64:
		p.keep(p.stmt.BindFloat(p.next(), v))
	case []byte:
		p.keep(p.stmt.BindBlob(p.next(), v))
	default:
		p.keep(fmt.Errorf("a %T cannot be bound", v))
	}
}

// once runs the statement with the values that are bound, for a row, and makes it ready for the next one.
func (p *params) once() error {
	err := p.err
	if err == nil {
		err = p.stmt.Exec()
	}
	p.n, p.err = 0, nil
	return err
}

// cursor reads the rows of a statement on the writer's connection, as sql.Rows does elsewhere.
type cursor struct{ stmt *sqlite3.Stmt }

// Next goes to the next row.
func (c *cursor) Next() bool { return c.stmt.Step() }

// Err is the error that ended the rows.
func (c *cursor) Err() error { return c.stmt.Err() }

// Close makes the statement ready for its next use.
func (c *cursor) Close() error { return errors.Join(c.stmt.Reset(), c.stmt.ClearBindings()) }

// Scan reads the columns of the row. A value that its destination cannot hold is an error, which does not show it.
func (c *cursor) Scan(dest ...any) error {
	for i, d := range dest {
		if err := c.column(i, d); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func (c *cursor) column(i int, dest any) error {
	kind := c.stmt.ColumnType(i)
	switch d := dest.(type) {
	case *string:
		if kind != sqlite3.NULL {
			*d = c.stmt.ColumnText(i)
			return nil
		}
	case *int64:
		if kind == sqlite3.INTEGER {
			*d = c.stmt.ColumnInt64(i)
			return nil
		}
	case *int:
		if kind == sqlite3.INTEGER {
			*d = c.stmt.ColumnInt(i)
			return nil
		}
	case *bool:
		if kind == sqlite3.INTEGER {
			*d = c.stmt.ColumnInt64(i) != 0
			return nil
		}
	case **string:
		*d = nil
		if kind != sqlite3.NULL {
			text := c.stmt.ColumnText(i)
			*d = &text
		}
		return nil
	case *moment:
		if kind == sqlite3.TEXT {
			return d.read(c.stmt.ColumnText(i))
		}
		if kind == sqlite3.NULL {
			return d.Scan(nil)
		}
	}
	return fmt.Errorf("%s does not fit into a %T", kind, dest)
}
