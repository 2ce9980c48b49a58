package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

// config is what the environment and the flags say, validated whole: a value that is wrong is never passed on.
type config struct {
	Database    storage.URL
	Direct      storage.URL // the server itself, where Database is a connection pooler
	Pool        storage.Pool
	Currencies  []string // must be present after the seed
	CurrencyCSV string   // "": the built-in file
	HTTPAddr    string
	HTTPChosen  bool // HTTPAddr was asked for, so it must be had
	IngestToken string
	AdminToken  string
	Secrets     *event.Keyring // seals the secrets of events; empty: events with secrets are refused
	Lanes       int
	Batch       int
	Drain       time.Duration
	LogFormat   string // text, json or "": by what standard error is
	LogLevel    slog.Level

	pool poolParts
}

// settingError is a variable or a flag with a value that cannot be used.
type settingError struct {
	Name  string // as the operator wrote it: DB_POOL_SIZE or --pool-size
	Value string // "" where it is secret
	Err   error  // what was expected
}

func (e *settingError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s is %q: %v", e.Name, e.Value, e.Err)
}

func (e *settingError) Unwrap() error { return e.Err }

// ExitCode is that of a wrong configuration.
func (e *settingError) ExitCode() int { return exitConfig }

// registerFlags gives every setting that is no secret a flag of the same meaning.
func registerFlags(flags *pflag.FlagSet) {
	for _, s := range settings {
		if s.flag != "" {
			flags.Var(&given{kind: s.kind}, s.flag, fmt.Sprintf("%s (%s; default %s)", s.usage, s.env, s.fallback))
		}
	}
}

// given is a flag as it was written: loadConfig reads it as it reads a variable. The kind stands in the help.
type given struct{ text, kind string }

func (g *given) String() string { return g.text }
func (g *given) Type() string   { return g.kind }

// Set keeps the text; it is read when the other settings are.
func (g *given) Set(text string) error {
	g.text = text
	return nil
}

// loadConfig reads the settings: a flag wins over a variable, and a variable that is empty counts as unset.
func loadConfig(flags *pflag.FlagSet, getenv func(string) string) (config, error) {
	c := config{Secrets: &event.Keyring{}}
	for _, s := range settings {
		name, value := "", s.preset
		if v := getenv(s.env); v != "" {
			name, value = s.env, v
		}
		if f := flags.Lookup(s.flag); f != nil && f.Changed {
			name, value = "--"+s.flag, f.Value.String()
		}
		if name == "" && value == "" {
			continue
		}
		if err := s.set(&c, value, name != ""); err != nil {
			return config{}, named(name, s, value, err)
		}
	}
	return c, c.complete()
}

// named says which setting is wrong. A URL's error carries the URL itself, with the password masked.
func named(name string, s setting, value string, err error) error {
	if name == "" {
		name = "the default of " + s.env
	}
	if s.secret || errors.Is(err, storage.ErrConfig) {
		value = ""
	}
	return &settingError{Name: name, Value: value, Err: err}
}

// complete settles what depends on more than one setting.
func (c *config) complete() error {
	var err error
	if c.Pool, err = c.pool.policy(); err != nil {
		return err // it names the variable
	}
	if c.Lanes == 0 {
		c.Lanes = map[storage.Dialect]int{storage.PostgreSQL: 4, storage.SQLite: 1}[c.Database.Dialect]
	}
	if c.Direct.Dialect != "" && c.Direct.Dialect != c.Database.Dialect {
		return &settingError{Name: "SAFEBOX_DATABASE_DIRECT", Err: fmt.Errorf(
			"it is a %s database and DATABASE a %s one: it must be the server that DATABASE leads to", c.Direct.Dialect, c.Database.Dialect)}
	}
	return nil
}

// otherEnviron is the environment of this process without the variables that configure safebox.
func otherEnviron() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		known := false
		for _, s := range settings {
			known = known || s.env == name
		}
		if !known {
			env = append(env, kv)
		}
	}
	return env
}
