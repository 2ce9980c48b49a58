package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// poison puts an event into the log that the door would have refused, as a bug might.
func (s *site) poison(id, subject, data string) {
	s.t.Helper()
	s.exec(fmt.Sprintf(`INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, recorded_at)
		SELECT 'wallet', %d, max(position) + 1, '/poison', '%s', '%s', '%s', '2026-01-01T00:00:00.000000Z', '%s', '2026-01-01T00:00:00.000000Z'
		FROM event_log WHERE topic = 'wallet' AND partition = %[1]d`, event.Partition(subject), id, event.TypeFundsCredited, subject, data))
}

// history compares what was done about a subject, the last first, and what `event show` tells of it.
func (s *site) history(subject string, want []string) {
	s.t.Helper()
	describe := func(actions []event.ParkedAction) []string {
		var got []string
		for _, act := range actions {
			if act.Actor != "bob" { // whoever runs the tests
				if !strings.Contains(act.Actor, "@") {
					s.t.Errorf("the operator is called %q, want user@host", act.Actor)
				}
				act.Actor = "somebody"
			} else if act.Reason != "a typing error" {
				s.t.Errorf("the reason is %q", act.Reason)
			}
			if (act.Error != "") != (act.Actor == "somebody") {
				s.t.Errorf("%+v: its error", act)
			}
			got = append(got, fmt.Sprintf("%s by %s of %d", act.Action, act.Actor, act.Events))
		}
		return got
	}
	actions, _ := answer[[]event.ParkedAction](s, "parked", "list", "--history", subject)
	if diff := cmp.Diff(want, describe(actions)); diff != "" {
		s.t.Errorf("history (-want +got):\n%s", diff)
	}
	shown, _ := answer[[]query.Event](s, "event", "show", "bad")
	if n := len(shown[0].Actions); n == 0 || shown[0].Actions[n-1].At.IsZero() {
		s.t.Errorf("the event's own history: %+v", shown[0].Actions)
	}
	if text := s.ok("event", "show", "bad") + s.ok("parked", "list", "--history"); strings.Count(text, "a typing error") < 2 {
		s.t.Errorf("neither for people:\n%s", text)
	}
}

func TestAnEventIsGivenUpForAReasonOnly(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	for _, args := range [][]string{
		{"parked", "skip", "somebody"},
		{"parked", "skip", "somebody", "--reason", "  "},
		{"parked", "skip", "somebody", "--reason", "two\nlines"},
		{"parked", "retry", "somebody", "--by", strings.Repeat("x", 1001)},
	} {
		if r := s.run(args...); r.code != exitUsage || !strings.Contains(r.stderr, "--reason") && !strings.Contains(r.stderr, "--by") {
			t.Errorf("%q: exit %d\n%s", args, r.code, r.stderr)
		}
	}
}

func TestPoisonParksItsOwnWalletUntilSomebodyRetriesOrSkips(t *testing.T) {
	for _, c := range []struct {
		name    string
		resolve func(s *site, subject string) result
		credits int64 // sats beside the opening, from the poisoned event and the one behind it
		history []string
	}{
		{"a retry after the cause is mended applies what was parked, in order", func(s *site, subject string) result {
			if r := s.run("parked", "retry", subject); r.code != exitData || !strings.Contains(r.stderr, "still parked") {
				s.t.Errorf("a retry before the cause is mended: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			s.exec(`UPDATE event_log SET data = '{"amount":5}' WHERE id = 'bad'`)
			return s.run("parked", "retry", "--all", "--by", "bob", "--reason", "a typing error")
		}, 12, []string{"retry by bob of 2", "retry by somebody of 1"}},
		{"a skip gives up the first and applies those behind it", func(s *site, subject string) result {
			return s.run("parked", "skip", subject, "--by", "bob", "--reason", "a typing error")
		}, 7, []string{"retry by bob of 1", "skip by bob of 1"}},
		{"a skip of a wallet by its handle does the same", func(s *site, _ string) result {
			if r := s.run("parked", "skip", "demo-001", "--reason", "none"); r.code != exitData || !strings.Contains(r.stderr, "parked list") {
				s.t.Errorf("a skip where nothing is parked: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			return s.run("parked", "skip", "demo-000", "--by", "bob", "--reason", "a typing error")
		}, 7, []string{"retry by bob of 1", "skip by bob of 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, url string) {
				s := newSite(t, url)
				script := demo.NewScript(6, 1)
				subject := subjectOfLine(t, script.Setup[0])
				s.publish(s.write("setup.jsonl", lines(script.Setup)))
				s.ok("worker", "--until-idle")
				opening, _ := answer[ledger.Wallet](s, "wallet", "show", subject)
				s.poison("bad", subject, `{"amount":"five"}`)
				s.poison("behind", subject, `{"amount":7}`)
				s.ok("worker", "--until-idle")

				parked, _ := answer[[]event.Parked](s, "parked", "list")
				if len(parked) != 2 || parked[0].ID != "bad" || parked[0].Error == "" || parked[1].ID != "behind" || parked[0].Subject != subject {
					t.Fatalf("parked: %+v", parked)
				}
				audit, r := answer[ledger.Audit](s, "audit")
				if !audit.OK || audit.Parked != 2 || audit.Applied != int64(len(script.Setup)) {
					t.Errorf("the other wallets wait as well: %s", r.stdout)
				}
				shown, _ := answer[[]query.Event](s, "event", "show", "bad")
				if len(shown) != 1 || shown[0].Outcome != "parked" || shown[0].Error == "" {
					t.Errorf("shown: %+v", shown)
				}
				s.ok("parked", "list")

				if r := c.resolve(s, subject); r.code != 0 {
					t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				none, _ := answer[[]event.ParkedResult](s, "parked", "retry", "--all")
				if len(none) != 0 {
					t.Errorf("still parked: %+v", none)
				}
				s.history(subject, c.history)
				wallet, _ := answer[ledger.Wallet](s, "wallet", "show", subject)
				if want := opening.Balance + c.credits; wallet.Balance != want {
					t.Errorf("balance %d, want %d", wallet.Balance, want)
				}
				s.ok("audit")
			})
		})
	}
}
