package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/safebox/safebox/storage"
)

func load(t *testing.T, env map[string]string, args ...string) (config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	registerFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(flags, func(name string) string { return env[name] })
}

func TestDefaultsAreThoseThatOperatorsKnow(t *testing.T) {
	c, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.String() != "sqlite:///data/database.db" || c.Pool != storage.DefaultPool || c.HTTPAddr != "127.0.0.1:8080" || c.HTTPChosen ||
		c.Lanes != 1 || c.Batch != 500 || c.Drain != 25*time.Second || c.CurrencyCSV != "" {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff([]string{"SAT", "CAD", "USD", "EUR", "GBP", "JPY", "INR"}, c.Currencies); diff != "" {
		t.Error(diff)
	}
	if c, err = load(t, map[string]string{"DATABASE": "postgresql://h/db"}); err != nil || c.Lanes != 4 {
		t.Errorf("%d lanes on PostgreSQL, %v", c.Lanes, err)
	}
}

func TestFlagWinsOverVariableAndAnEmptyVariableIsUnset(t *testing.T) {
	c, err := load(t, map[string]string{"SAFEBOX_BATCH": "7", "SAFEBOX_LANES": "", "SAFEBOX_HTTP_ADDR": "127.0.0.1:9"}, "--batch", "8")
	if err != nil || c.Batch != 8 || c.Lanes != 1 || c.HTTPAddr != "127.0.0.1:9" || !c.HTTPChosen {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCurrenciesAreAJSONListOrACommaList(t *testing.T) {
	for value, want := range map[string][]string{
		`["SAT", "USD"]`: {"SAT", "USD"},
		"SAT,USD":        {"SAT", "USD"},
		" SAT , USD ":    {"SAT", "USD"},
		"[]":             {},
		"SAT,,USD":       nil,
		"sat":            nil,
		`{"a":1}`:        nil,
	} {
		got, err := currencies(value)
		if (err == nil) != (want != nil) || err == nil && !cmp.Equal(want, got) {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
}

func TestSecretsHaveNoFlag(t *testing.T) {
	for _, s := range settings {
		if s.secret != (s.flag == "") {
			t.Errorf("%s: secret %v, flag %q", s.env, s.secret, s.flag)
		}
	}
}

func TestDirectMustLeadToTheSameKindOfDatabase(t *testing.T) {
	_, err := load(t, map[string]string{"DATABASE": "postgresql://h/db", "SAFEBOX_DATABASE_DIRECT": "sqlite:///x.db"})
	if exitCode(err) != exitConfig {
		t.Errorf("%v", err)
	}
}
