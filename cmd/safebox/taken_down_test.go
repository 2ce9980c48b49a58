package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage/dbtest"
)

// A replica neither brings back what an operator took down while it ran, nor ends, after which an orchestrator would start
// one that does.
func TestAReplicaWhoseSchemaIsTakenDownWaitsUntilItIsBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		s := newSite(t, url)
		s.ok("init")
		p := s.start(nil, "worker", "--instance", "witness")
		p.await("processing events")
		if r := s.run("migrate", "downgrade", "-1"); r.code != 0 && !strings.Contains(r.stderr, "Stop the workers") {
			t.Errorf("exit %d\n%s", r.code, r.stderr)
		}
		s.ok("migrate", "downgrade", "-1", "--yes")
		p.await("processing stands still: the schema was taken down")
		if state, _ := answer[migrations.State](s, "migrate", "current"); state.Revision != migrations.LatestAlembic {
			t.Errorf("with a replica that runs the schema is at %+v", state)
		}
		if code, body := ask(t, "GET", p.address()+"/readyz", "", "", nil); code != 503 || !strings.Contains(body, "took the schema down to 20260416_0003") {
			t.Errorf("/readyz: %d %s", code, body)
		}
		if code, _ := ask(t, "GET", p.address()+"/livez", "", "", nil); code != 200 {
			t.Errorf("/livez: %d", code)
		}
		s.ok("migrate", "upgrade", "head")
		p.await("processing goes on")
		s.publish(s.write("setup.jsonl", lines(demo.NewScript(3, 1).Setup)))
		s.idle()
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
		s.ok("audit")
	})
}
