package migrations

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed currencies.csv
var builtIn []byte

const (
	builtInName = "built in"
	maxSeed     = 4 << 20 // bytes; the built-in one has 8 KB
)

// DefaultSupported lists the currencies that must be supported unless configuration says otherwise.
func DefaultSupported() []string { return []string{"SAT", "CAD", "USD", "EUR", "GBP", "JPY", "INR"} }

func supportedOrDefault(supported []string) []string {
	if supported == nil {
		supported = DefaultSupported()
	}
	sorted := append([]string(nil), supported...)
	sort.Strings(sorted)
	return sorted
}

// Currency is one row of the seed. What is nil or empty is null in the database.
type Currency struct {
	Code           string
	Rate           *float64 // units of the currency for a bitcoin; nil until quoted
	Symbol         string
	Description    string
	RefreshedAt    time.Time // when Rate was quoted, in UTC
	FractionalUnit string
	NumberToBase   *int32 // fractional units that make one unit
}

// fields are the values as text, for the digest.
func (c Currency) fields() []string {
	rate, base, at := "", "", ""
	if c.Rate != nil {
		rate = strconv.FormatFloat(*c.Rate, 'g', -1, 64)
	}
	if c.NumberToBase != nil {
		base = strconv.Itoa(int(*c.NumberToBase))
	}
	if !c.RefreshedAt.IsZero() {
		at = c.RefreshedAt.Format(time.RFC3339Nano)
	}
	return []string{c.Code, rate, c.Symbol, c.Description, at, c.FractionalUnit, base}
}

// Seed is the currencies that every database must have. The zero Seed stands for the built-in one.
type Seed struct {
	Source     string // the file, or "built in"
	Currencies []Currency
}

func (s Seed) orBuiltIn() Seed {
	if s.Source == "" && s.Currencies == nil {
		return builtInSeed()
	}
	return s
}

func (s Seed) sorted() []Currency {
	all := append([]Currency(nil), s.Currencies...)
	sort.Slice(all, func(i, j int) bool { return all[i].Code < all[j].Code })
	return all
}

// builtInSeed parses the embedded file once. That it cannot be parsed is a bug of the build, hence the panic.
var builtInSeed = sync.OnceValue(func() Seed {
	s, err := parseSeed(builtInName, builtIn)
	if err != nil {
		panic("migrations: " + err.Error())
	}
	return s
})

// SeedError is a seed file that cannot be used. Nothing of it was kept.
type SeedError struct {
	File    string
	Line    int // 1 for the first; 0 where no line is to blame
	Column  int // 1 for the first byte of the line; 0 where none is to blame
	Problem string
	Err     error // why the file cannot be read; nil for a file that was read
}

func (e *SeedError) Error() string {
	place := e.File
	if e.Line > 0 {
		place += fmt.Sprintf(":%d", e.Line)
		if e.Column > 0 {
			place += fmt.Sprintf(":%d", e.Column)
		}
	}
	if e.Err != nil {
		return fmt.Sprintf("currency file %s: %s: %v; correct CURRENCY_CSV, or unset it for the built-in file", place, e.Problem, e.Err)
	}
	return fmt.Sprintf("currency file %s: %s; nothing of the file was kept", place, e.Problem)
}

func (e *SeedError) Unwrap() error { return e.Err }

// ExitCode is 78, configuration, for a file that cannot be read, and 65, bad data, for one that is malformed.
func (e *SeedError) ExitCode() int {
	if e.Err != nil {
		return exitConfig
	}
	return exitData
}

// LoadSeed reads and checks a seed file whole; "" is the built-in one. The file is CSV in UTF-8 with a header that
// names its columns in any order: currency_code is required; currency_rate, currency_symbol, currency_description,
// refresh_time, fractional_unit and number_to_base may be there. Every error is a *SeedError.
func LoadSeed(path string) (Seed, error) {
	if path == "" {
		return builtInSeed(), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return Seed{}, &SeedError{File: path, Problem: "cannot be opened", Err: err}
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSeed+1))
	if err != nil {
		return Seed{}, &SeedError{File: path, Problem: "cannot be read", Err: err}
	}
	if len(content) > maxSeed {
		return Seed{}, &SeedError{File: path, Problem: fmt.Sprintf("is larger than %d MB, which no list of currencies is", maxSeed>>20)}
	}
	return parseSeed(path, content)
}

func parseSeed(name string, content []byte) (Seed, error) {
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	if e := badText(content); e != nil {
		e.File = name
		return Seed{}, e
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord = -1
	p := seedParser{name: name, reader: r, lines: map[string]int{}}
	if err := p.header(); err != nil {
		return Seed{}, err
	}
	s := Seed{Source: name, Currencies: []Currency{}}
	for {
		record, err := p.next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return Seed{}, err
		}
		c, err := p.currency(record)
		if err != nil {
			return Seed{}, err
		}
		s.Currencies = append(s.Currencies, c)
	}
}

// columnsHint lists the columns for an error.
func columnsHint() string {
	names := make([]string, len(seedColumns))
	for i, c := range seedColumns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}
