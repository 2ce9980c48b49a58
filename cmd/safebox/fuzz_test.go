package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Every setting is read or refused with its name; what is secret is never shown.
func FuzzSettings(f *testing.F) {
	for _, s := range settings {
		f.Add(s.env, s.preset)
	}
	for env, value := range map[string]string{
		"DATABASE": "postgresql://u:p@h/db", "SUPPORTED_CURRENCIES": `["SAT",1]`, "SAFEBOX_HTTP_ADDR": "[::1]:99999", "DB_POOL_SIZE": " 7 ",
		"SAFEBOX_SECRET_KEY": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "SAFEBOX_INGEST_TOKEN": "a b",
		"DB_POOL_RECYCLE_SECONDS": "NaN", "SAFEBOX_LANES": "1e3",
	} {
		f.Add(env, value)
	}
	f.Fuzz(func(t *testing.T, env, value string) {
		c, err := loadConfig(pflag.NewFlagSet("", pflag.ContinueOnError), func(name string) string {
			if name == env {
				return value
			}
			return ""
		})
		if err == nil {
			if c.Secrets == nil || c.Lanes < 1 || c.Pool.Max() < 1 {
				t.Fatalf("%s=%q: %+v", env, value, c)
			}
			return
		}
		if exitCode(err) != exitConfig {
			t.Fatalf("%s=%q: exit %d: %v", env, value, exitCode(err), err)
		}
		for _, s := range settings {
			if s.env == env && s.secret && len(value) > 8 && strings.Contains(err.Error(), value) {
				t.Fatalf("%s is shown: %v", env, err)
			}
		}
	})
}

// Where a tail begins is a place, a position or a time, or wrong usage.
func FuzzFrom(f *testing.F) {
	for _, from := range []string{"", "start", "end", "1", "0", "-1", "9223372036854775808", "2026-11-23T12:00:00Z", "2026-11-23", "yesterday"} {
		f.Add("", from)
	}
	f.Add(ledgerGroup, "1")
	f.Fuzz(func(t *testing.T, group, from string) {
		o := tailOptions{group: group, from: from}
		err := o.check()
		var usage *usageError
		if err != nil && !errors.As(err, &usage) || err == nil && (o.position < 0 || group == ledgerGroup) {
			t.Fatalf("%+v: %v", o, err)
		}
	})
}
