package sqlite

import (
	"fmt"
	"time"
)

// The forms of times, all in UTC: eventTime in this project's tables, which sorts as it reads; columnTime in the tables
// that SQLAlchemy reads too, which leaves out a fraction of zero.
const (
	eventTime      = "2006-01-02T15:04:05.000000Z"
	columnTime     = "2006-01-02 15:04:05.000000"
	columnTimeRead = "2006-01-02 15:04:05.999999"
)

func eventStamp(t time.Time) string  { return t.UTC().Format(eventTime) }
func columnStamp(t time.Time) string { return t.UTC().Format(columnTime) }

// moment is a time in either form, or null, as a destination of Scan.
type moment struct{ time.Time }

// Scan implements sql.Scanner.
func (m *moment) Scan(v any) (err error) {
	switch v := v.(type) {
	case nil:
		m.Time = time.Time{}
	case time.Time:
		m.Time = v.UTC()
	case string:
		err = m.read(v)
	default:
		err = fmt.Errorf("a time cannot be a %T", v)
	}
	return err
}

func (m *moment) read(text string) (err error) {
	if len(text) > 10 && text[10] == 'T' {
		m.Time, err = time.Parse(eventTime, text)
	} else {
		m.Time, err = time.Parse(columnTimeRead, text)
	}
	return err
}
