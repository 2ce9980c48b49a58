package migrations

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"
)

// seedColumn is a column of the seed file and what it does to a currency. Set returns what is wrong with a value.
type seedColumn struct {
	name string
	set  func(c *Currency, value string) (problem string)
}

var codePattern = regexp.MustCompile(`^[A-Z0-9]{1,12}$`)

var seedColumns = []seedColumn{
	{"currency_code", func(c *Currency, v string) string {
		if v == "" {
			return "is empty"
		}
		if !codePattern.MatchString(v) {
			return fmt.Sprintf("is %q, which is not 1 to 12 characters of A-Z and 0-9", short(v))
		}
		c.Code = v
		return ""
	}},
	{"currency_rate", func(c *Currency, v string) string {
		if v == "" {
			return ""
		}
		rate, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
			return fmt.Sprintf("is %q, which is not a number of zero or more", short(v))
		}
		c.Rate = &rate
		return ""
	}},
	{"currency_symbol", func(c *Currency, v string) string { c.Symbol = v; return "" }},
	{"currency_description", func(c *Currency, v string) string { c.Description = v; return "" }},
	{"refresh_time", func(c *Currency, v string) string {
		if v == "" {
			return ""
		}
		for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02"} {
			if at, err := time.Parse(layout, v); err == nil {
				c.RefreshedAt = at.UTC().Truncate(time.Microsecond)
				return ""
			}
		}
		return fmt.Sprintf("is %q, which is not a time like 2026-01-02 03:04:05", short(v))
	}},
	{"fractional_unit", func(c *Currency, v string) string { c.FractionalUnit = v; return "" }},
	{"number_to_base", func(c *Currency, v string) string {
		if v == "" {
			return ""
		}
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 1 {
			return fmt.Sprintf("is %q, which is not a whole number from 1 to %d", short(v), math.MaxInt32)
		}
		base := int32(n)
		c.NumberToBase = &base
		return ""
	}},
}

// short keeps a value quotable.
func short(v string) string {
	if r := []rune(v); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return v
}

// seedParser reads one file; every error says where in it.
type seedParser struct {
	name    string
	reader  *csv.Reader
	columns []seedColumn   // of the file, in its order
	lines   map[string]int // where each code was
}

func (p *seedParser) fail(line, column int, format string, values ...any) error {
	return &SeedError{File: p.name, Line: line, Column: column, Problem: fmt.Sprintf(format, values...)}
}

// next reads a record; io.EOF at the end.
func (p *seedParser) next() ([]string, error) {
	record, err := p.reader.Read()
	var broken *csv.ParseError
	switch {
	case errors.As(err, &broken):
		return nil, p.fail(broken.Line, broken.Column, "is not well-formed CSV: %v", broken.Err)
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, p.fail(0, 0, "cannot be read: %v", err)
	}
	return record, nil
}

func (p *seedParser) header() error {
	names, err := p.next()
	if errors.Is(err, io.EOF) {
		return p.fail(1, 1, "is empty where a header is expected: %s", columnsHint())
	}
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, name := range names {
		line, column := p.reader.FieldPos(i)
		if seen[name] {
			return p.fail(line, column, "names the column %q twice", short(name))
		}
		seen[name] = true
		known := false
		for _, c := range seedColumns {
			if c.name == name {
				p.columns = append(p.columns, c)
				known = true
			}
		}
		if !known {
			return p.fail(line, column, "has the unknown column %q; the first line must be a header with some of %s", short(name), columnsHint())
		}
	}
	if !seen["currency_code"] {
		line, _ := p.reader.FieldPos(0)
		return p.fail(line, 1, "has no column currency_code in its header")
	}
	return nil
}

func (p *seedParser) currency(record []string) (Currency, error) {
	var c Currency
	line, _ := p.reader.FieldPos(0)
	if len(record) != len(p.columns) {
		column := 1
		if len(record) > len(p.columns) {
			line, column = p.reader.FieldPos(len(p.columns))
		}
		return c, p.fail(line, column, "has %s where the header has %d", count(len(record), "field", "fields"), len(p.columns))
	}
	for i, value := range record {
		if problem := p.columns[i].set(&c, value); problem != "" {
			line, column := p.reader.FieldPos(i)
			return c, p.fail(line, column, "%s %s", p.columns[i].name, problem)
		}
	}
	if first, twice := p.lines[c.Code]; twice {
		for i := range record {
			if p.columns[i].name == "currency_code" {
				line, column := p.reader.FieldPos(i)
				return c, p.fail(line, column, "currency_code %s is there twice: line %d has it first", c.Code, first)
			}
		}
	}
	p.lines[c.Code] = line
	return c, nil
}

// badText finds the first byte that is not UTF-8, or a control character other than tab and the ends of lines.
func badText(content []byte) *SeedError {
	line, start := 1, 0
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &SeedError{Line: line, Column: i - start + 1, Problem: fmt.Sprintf("has the byte 0x%02x, which is not UTF-8: save the file as UTF-8", content[i])}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			return &SeedError{Line: line, Column: i - start + 1, Problem: fmt.Sprintf("has the control character 0x%02x", r)}
		case r == '\n':
			line, start = line+1, i+1
		}
		i += size
	}
	return nil
}
