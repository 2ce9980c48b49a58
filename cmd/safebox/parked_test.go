package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// poison puts an event into the log that the door would have refused, as a bug might.
func (s *site) poison(id, subject, data string) {
	s.t.Helper()
	s.exec(fmt.Sprintf(`INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, recorded_at)
		SELECT 'wallet', %d, max(position) + 1, '/poison', '%s', '%s', '%s', '2026-01-01T00:00:00.000000Z', '%s', '2026-01-01T00:00:00.000000Z'
		FROM event_log WHERE topic = 'wallet' AND partition = %[1]d`, event.Partition(subject), id, event.TypeFundsCredited, subject, data))
}

func TestPoisonParksItsOwnWalletUntilSomebodyRetriesOrSkips(t *testing.T) {
	for _, c := range []struct {
		name    string
		resolve func(s *site, subject string) result
		credits int64 // sats beside the opening, from the poisoned event and the one behind it
	}{
		{"a retry after the cause is mended applies what was parked, in order", func(s *site, subject string) result {
			if r := s.run("parked", "retry", subject); r.code != exitData || !strings.Contains(r.stderr, "still parked") {
				s.t.Errorf("a retry before the cause is mended: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			s.exec(`UPDATE event_log SET data = '{"amount":5}' WHERE id = 'bad'`)
			return s.run("parked", "retry", "--all")
		}, 12},
		{"a skip gives up the first and applies those behind it", func(s *site, subject string) result {
			return s.run("parked", "skip", subject)
		}, 7},
		{"a skip of a wallet by its handle does the same", func(s *site, _ string) result {
			if r := s.run("parked", "skip", "demo-001"); r.code != exitData || !strings.Contains(r.stderr, "parked list") {
				s.t.Errorf("a skip where nothing is parked: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			return s.run("parked", "skip", "demo-000")
		}, 7},
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
				shown, _ := answer[[]shownEvent](s, "event", "show", "bad")
				if len(shown) != 1 || shown[0].Outcome != "parked" || shown[0].Error == "" {
					t.Errorf("shown: %+v", shown)
				}
				s.ok("parked", "list")

				if r := c.resolve(s, subject); r.code != 0 {
					t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				none, _ := answer[[]bus.ParkedResult](s, "parked", "retry", "--all")
				if len(none) != 0 {
					t.Errorf("still parked: %+v", none)
				}
				wallet, _ := answer[ledger.Wallet](s, "wallet", "show", subject)
				if want := opening.Balance + c.credits; wallet.Balance != want {
					t.Errorf("balance %d, want %d", wallet.Balance, want)
				}
				s.ok("audit")
			})
		})
	}
}
