package main

import (
	"encoding/json"
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage/dbtest"
)

// Every pod has its init container, and they all start at once.
func TestInitContainersStartedAtOnceAllSucceedAndOnePrepares(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url, "SAFEBOX_LOG_LEVEL=error") // the answer stands alone
		var ps []*process
		for range 5 {
			ps = append(ps, s.start(nil, "init", "--json"))
		}
		led := 0
		for _, p := range ps {
			if code := p.wait(); code != 0 {
				t.Fatalf("exit %d\n%s", code, p.log.text())
			}
			var answer struct {
				Outcome          initlock.Outcome
				Revision, Leader string
			}
			if err := json.Unmarshal([]byte(p.log.text()), &answer); err != nil || answer.Revision != migrations.Latest() || answer.Leader == "" {
				t.Errorf("answer %q, %v", p.log.text(), err)
			}
			switch answer.Outcome {
			case initlock.OutcomeLed:
				led++
			case initlock.OutcomeFollowed, initlock.OutcomeAlreadyReady:
			default:
				t.Errorf("outcome %q", answer.Outcome)
			}
		}
		if led != 1 {
			t.Errorf("%d of five prepared the database", led)
		}
		if again, r := answer[struct{ Outcome initlock.Outcome }](s, "init"); r.code != 0 || again.Outcome != initlock.OutcomeAlreadyReady {
			t.Errorf("once more: exit %d, %+v", r.code, again)
		}
		s.ok("worker", "--until-idle")
	})
}
