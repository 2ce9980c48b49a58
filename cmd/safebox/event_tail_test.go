package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// tailed reads what a tail printed as JSON.
func tailed(t *testing.T, out string) (all []tailLine) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if line == "" {
			continue
		}
		var l tailLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

func TestATailPrintsTheLogFromWhereItIsTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(6, 1)
		s.publish(s.write("setup.jsonl", lines(script.Setup)))
		all := tailed(t, s.ok("event", "tail", "--json"))
		if len(all) != len(script.Setup) {
			t.Fatalf("%d events are printed of %d", len(all), len(script.Setup))
		}
		next := map[int]int64{}
		for i, l := range all {
			if next[l.Partition]++; l.Position != next[l.Partition] {
				t.Errorf("partition %d: position %d in the place of %d", l.Partition, l.Position, next[l.Partition])
			}
			if i > 0 && l.RecordedAt.Before(all[i-1].RecordedAt) {
				t.Errorf("an event of %v comes after one of %v", l.RecordedAt, all[i-1].RecordedAt)
			}
		}
		middle := all[len(all)/2].RecordedAt
		for from, want := range map[string]func(tailLine) bool{
			"start": func(tailLine) bool { return true },
			"end":   func(tailLine) bool { return false },
			"2":     func(l tailLine) bool { return l.Position >= 2 },
			middle.Format("2006-01-02T15:04:05.999999Z07:00"): func(l tailLine) bool { return !l.RecordedAt.Before(middle) },
			"1999-01-01T00:00:00Z":                            func(tailLine) bool { return true },
			"2999-01-01T00:00:00+02:00":                       func(tailLine) bool { return false },
		} {
			n := 0
			for _, l := range all {
				if want(l) {
					n++
				}
			}
			if got := tailed(t, s.ok("event", "tail", "--json", "--from", from)); len(got) != n {
				t.Errorf("from %s: %d events, want %d", from, len(got), n)
			}
		}
		if text := s.ok("event", "tail"); strings.Count(text, "\n") != len(all) || !strings.Contains(text, event.TypeWalletRegistered) {
			t.Errorf("for people:\n%s", text)
		}
		for _, from := range []string{"yesterday", "0", "-1", "2026-11-23"} {
			if r := s.run("event", "tail", "--from="+from); r.code != exitUsage {
				t.Errorf("--from %s: exit %d\n%s", from, r.code, r.stderr)
			}
		}
	})
}

func TestATailMasksSecrets(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), secretKey)
	s.publish(s.write("secret.jsonl", []byte(secretLine("1", "hunter2")+"\n")))
	for _, args := range [][]string{{"event", "tail"}, {"event", "tail", "--json"}, {"event", "tail", "--group", "g"}} {
		if out := s.ok(args...); strings.Contains(out, "hunter2") || !strings.Contains(out, "***") {
			t.Errorf("%q prints %s", args, out)
		}
	}
}

func TestAGroupGoesOnWhereItsLastTailStopped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		script := demo.NewScript(6, 1)
		half := len(script.Setup) / 2
		count := func(args ...string) int {
			return len(tailed(t, s.ok(append([]string{"event", "tail", "--json"}, args...)...)))
		}
		s.publish(s.write("first.jsonl", lines(script.Setup[:half])))
		if n := count("--group", "readers"); n != half {
			t.Errorf("a new group reads %d of %d events", n, half)
		}
		if n := count("--group", "late", "--from", "end"); n != 0 {
			t.Errorf("a group from the end reads %d events", n)
		}
		s.publish(s.write("second.jsonl", lines(script.Setup[half:])))
		for _, group := range []string{"readers", "late"} {
			if n := count("--group", group); n != len(script.Setup)-half {
				t.Errorf("%s reads %d of %d new events", group, n, len(script.Setup)-half)
			}
			if n := count("--group", group); n != 0 {
				t.Errorf("%s reads %d events again", group, n)
			}
		}
		if r := s.run("event", "tail", "--group", "readers", "--from", "start"); r.code != exitUsage || !strings.Contains(r.stderr, "exists") {
			t.Errorf("--from of a group that exists: exit %d\n%s", r.code, r.stderr)
		}
		if r := s.run("event", "tail", "--group", "ledger"); r.code != exitUsage || !strings.Contains(r.stderr, "never applied") {
			t.Errorf("the ledger's own group: exit %d\n%s", r.code, r.stderr)
		}
		s.ok("worker", "--until-idle")
		s.ok("audit", "--rebuild")
	})
}

func TestATailFollowsUntilItIsInterrupted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s, script := newSite(t, url), demo.NewScript(6, 1)
		for i, group := range [][]string{nil, {"--group", "g"}} {
			known, all := 1+i*len(script.Setup)/2, len(script.Setup)*(1+i)/2
			s.publish(s.write("setup.jsonl", lines(script.Setup[:known])))
			c := s.command(nil, append([]string{"event", "tail", "--json", "--follow"}, group...)...)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			stop := func() { c.Process.Kill() } //nolint:errcheck // it may have ended
			t.Cleanup(stop)
			printed := bufio.NewScanner(out)
			for n := range all {
				if n == known { // what was there is printed; now there is more
					s.publish(s.write("more.jsonl", lines(script.Setup[:all])))
				}
				if !printed.Scan() {
					t.Fatalf("it ended after %d events", n)
				}
			}
			if err := c.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if printed.Scan() {
				t.Errorf("more than the log has: %s", printed.Text())
			}
			if err := c.Wait(); err != nil {
				t.Errorf("interrupted: %v", err)
			}
		}
	})
}
