package main

import (
	"strings"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestCommandLinesThatAreNotUnderstoodExit64AndSayWhereToLook(t *testing.T) {
	for _, c := range []struct {
		line string
		says string
	}{
		{"", "needs a command"},
		{"wallet", "show"},
		{"wallt", "did you mean wallet?"},
		{"wallet lst", "did you mean list?"},
		{"help wallet lst", "no command"},
		{"completion nosh", "nosh"},
		{"completion", "bash"},
		{"wallet show", "KEY"},
		{"wallet show a b", "KEY"},
		{"wallet list extra", "no arguments"},
		{"event publish", "FILE"},
		{"parked retry", "SUBJECT"},
		{"parked retry --all npub", "not both"},
		{"migrate upgrade a b", "at most a target"},
		{"worker --no-such-flag", "--no-such-flag"},
		{"demo --events 0", "--events"},
		{"demo --events many", "--events"},
	} {
		t.Run("safebox "+c.line, func(t *testing.T) {
			s := newSite(t, "sqlite:///x.db")
			r := s.run(strings.Fields(c.line)...)
			if r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, c.says) || !strings.Contains(r.stderr, "--help") {
				t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func TestSecretInTheWrongPlaceIsNotRepeated(t *testing.T) {
	const url, key = "postgresql://me:hush@hush@host/db", "nsec1hush"
	for _, args := range [][]string{
		{url},
		{"help", url},
		{"worker", url},
		{"worker", "--http-addr", url},
		{"worker", "--lanes", url},
		{"wallet", url},
		{"event", "publish", url},
		{"migrate", "upgrade", url},
		{"wallet", key},
		{"wallet", "show", key},
		{"wallet", "list", key},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := newSite(t, dbtest.SQLite(t))
			s.ok("init")
			if r := s.run(args...); r.code == 0 || strings.Contains(r.stdout+r.stderr, "hush") || !strings.Contains(r.stderr, "safebox: ") {
				t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func TestHelpVersionAndCompletionNeedNoConfiguration(t *testing.T) {
	for _, line := range []string{"--help", "worker --help", "help", "help wallet show", "--version", "version", "version --json", "completion bash", "__complete wallet "} {
		t.Run("safebox "+line, func(t *testing.T) {
			s := newSite(t, "nonsense")
			if r := s.run(strings.Fields(line)...); r.code != 0 || r.stdout == "" {
				t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}
