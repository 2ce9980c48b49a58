package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// setting is a variable of the environment and, unless it is a secret, a flag: a flag would show in the process list.
type setting struct {
	env      string
	flag     string
	kind     string // what the flag takes, for the help
	usage    string
	preset   string // the default, as one would write it; "" where another setting or the surroundings decide
	fallback string // the default in words, for the help
	secret   bool
	set      func(c *config, value string, chosen bool) error
}

var settings = []setting{
	{
		env: "DATABASE", flag: "database", kind: "URL", preset: "sqlite:///data/database.db", fallback: "sqlite:///data/database.db",
		usage: "the one database, as an SQLAlchemy URL",
		set: func(c *config, v string, _ bool) (err error) {
			c.Database, err = storage.ParseURL(v)
			return err
		},
	},
	{
		env: "SAFEBOX_DATABASE_DIRECT", flag: "database-direct", kind: "URL", fallback: "DATABASE",
		usage: "the server itself, where DATABASE is a connection pooler",
		set: func(c *config, v string, _ bool) (err error) {
			c.Direct, err = storage.ParseURL(v)
			return err
		},
	},
	{
		env: "DB_POOL_SIZE", flag: "pool-size", kind: "N", preset: "10", fallback: "10",
		usage: "connections kept open",
		set:   func(c *config, v string, _ bool) error { return whole(v, &c.pool.size) },
	},
	{
		env: "DB_MAX_OVERFLOW", flag: "max-overflow", kind: "N", preset: "20", fallback: "20",
		usage: "further connections under load, closed when handed back",
		set:   func(c *config, v string, _ bool) error { return whole(v, &c.pool.overflow) },
	},
	{
		env: "DB_POOL_RECYCLE_SECONDS", flag: "pool-recycle-seconds", kind: "SECONDS", preset: "1800", fallback: "1800",
		usage: "replace a connection after this long; -1 never",
		set:   func(c *config, v string, _ bool) error { return number(v, &c.pool.recycle) },
	},
	{
		env: "DB_POOL_TIMEOUT_SECONDS", flag: "pool-timeout-seconds", kind: "SECONDS", preset: "30", fallback: "30",
		usage: "the longest wait for a connection",
		set:   func(c *config, v string, _ bool) error { return number(v, &c.pool.timeout) },
	},
	{
		env: "SUPPORTED_CURRENCIES", flag: "supported-currencies", kind: "CODES",
		preset: `["SAT","CAD","USD","EUR","GBP","JPY","INR"]`, fallback: "SAT,CAD,USD,EUR,GBP,JPY,INR",
		usage: "currencies that must be present after the seed; a JSON list or a comma list",
		set: func(c *config, v string, _ bool) (err error) {
			c.Currencies, err = currencies(v)
			return err
		},
	},
	{
		env: "CURRENCY_CSV", flag: "currency-csv", kind: "FILE", fallback: "built in",
		usage: "the file to seed the currencies from",
		set: func(c *config, v string, _ bool) error {
			c.CurrencyCSV = v
			return nil
		},
	},
	{
		env: "SAFEBOX_HTTP_ADDR", flag: "http-addr", kind: "HOST:PORT", preset: "127.0.0.1:8080", fallback: "127.0.0.1:8080",
		usage: "where to answer HTTP: metrics, health, ingest, queries, console",
		set: func(c *config, v string, chosen bool) error {
			c.HTTPAddr, c.HTTPChosen = v, chosen
			return address(v)
		},
	},
	{
		env: "SAFEBOX_INGEST_TOKEN", secret: true,
		set: func(c *config, v string, _ bool) error {
			c.IngestToken = v
			return token(v)
		},
	},
	{
		env: "SAFEBOX_ADMIN_TOKEN", secret: true,
		set: func(c *config, v string, _ bool) error {
			c.AdminToken = v
			return token(v)
		},
	},
	{
		env: event.KeyVariable, secret: true,
		set: func(c *config, v string, _ bool) (err error) {
			c.Secrets, err = event.ParseKeyring(v)
			return err
		},
	},
	{
		env: "SAFEBOX_LANES", flag: "lanes", kind: "N", fallback: "4 on PostgreSQL, 1 on SQLite",
		usage: "the most batches this replica processes at once",
		set:   func(c *config, v string, _ bool) error { return within(v, 1, 64, &c.Lanes) },
	},
	{
		env: "SAFEBOX_BATCH", flag: "batch", kind: "N", preset: "500", fallback: "500",
		usage: "the most events in one transaction",
		set:   func(c *config, v string, _ bool) error { return within(v, 1, 10_000, &c.Batch) },
	},
	{
		env: "SAFEBOX_DRAIN_SECONDS", flag: "drain-seconds", kind: "SECONDS", preset: "25", fallback: "25",
		usage: "time to finish on SIGTERM",
		set: func(c *config, v string, _ bool) error {
			var seconds int
			err := within(v, 1, 3600, &seconds)
			c.Drain = time.Duration(seconds) * time.Second
			return err
		},
	},
	{
		env: "SAFEBOX_LOG_FORMAT", flag: "log-format", kind: "FORMAT", fallback: "text on a terminal, else json",
		usage: "text or json",
		set: func(c *config, v string, _ bool) error {
			if c.LogFormat = v; v != "text" && v != "json" {
				return fmt.Errorf("expected text or json")
			}
			return nil
		},
	},
	{
		env: "SAFEBOX_LOG_LEVEL", flag: "log-level", kind: "LEVEL", preset: "info", fallback: "info",
		usage: "debug, info, warn or error",
		set: func(c *config, v string, _ bool) error {
			levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
			level, ok := levels[strings.ToLower(v)]
			if c.LogLevel = level; !ok {
				return fmt.Errorf("expected debug, info, warn or error")
			}
			return nil
		},
	},
}

// poolParts are the pool's four numbers as they were written.
type poolParts struct {
	size, overflow   int
	recycle, timeout float64
}

func (p poolParts) policy() (storage.Pool, error) {
	return storage.NewPool(p.size, p.overflow, p.recycle, p.timeout)
}

func whole(v string, to *int) error {
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil {
		return fmt.Errorf("expected a whole number")
	}
	*to = n
	return nil
}

func number(v string, to *float64) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil {
		return fmt.Errorf("expected a number of seconds")
	}
	*to = n
	return nil
}

func within(v string, least, most int, to *int) error {
	if err := whole(v, to); err != nil || *to < least || *to > most {
		return fmt.Errorf("expected a whole number from %d to %d", least, most)
	}
	return nil
}

func address(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080")
	}
	return nil
}

// token refuses a token that cannot stand in a header as it is.
func token(v string) error {
	for _, r := range v {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("expected a token of printable ASCII characters without spaces")
		}
	}
	return nil
}

var currencyCode = regexp.MustCompile(`^[A-Z0-9]{1,12}$`)

// currencies reads a JSON list of strings or a comma list.
func currencies(v string) ([]string, error) {
	var codes []string
	if v = strings.TrimSpace(v); strings.HasPrefix(v, "[") {
		if err := json.Unmarshal([]byte(v), &codes); err != nil {
			return nil, fmt.Errorf(`expected a JSON list such as ["SAT","USD"] or a comma list such as SAT,USD: %w`, err)
		}
	} else {
		codes = strings.Split(v, ",")
	}
	for i, code := range codes {
		code = strings.TrimSpace(code)
		if !currencyCode.MatchString(code) {
			return nil, fmt.Errorf("%q is no currency code: expected 1 to 12 of A-Z and 0-9", code)
		}
		codes[i] = code
	}
	return codes, nil
}
