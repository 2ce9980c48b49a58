package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestStatusIsWatchedThroughTheEndOfItsDatabase(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, dbtest.Options{})
	s := newSite(t, server.Database(t))
	ps := s.workers(2)
	p := s.start(nil, "status", "--watch=100ms")
	eventually(t, "both workers and their connections are seen, again and again", func() (bool, string) {
		blocks := strings.Split(p.log.text(), "\n\ndatabase ")
		last := blocks[len(blocks)-1]
		return len(blocks) > 3 && strings.Contains(last, "workers   2") && strings.Contains(last, " of "), last
	})
	if strings.Contains(p.log.text(), "\x1b") {
		t.Error("where there is no terminal it writes escape sequences")
	}
	server.Stop(dbtest.Fast)
	p.await("the database does not answer: ")
	before := strings.Count(p.log.text(), "ready     yes")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status is back", func() (bool, string) {
		return strings.Count(p.log.text(), "ready     yes") > before, p.log.text()
	})
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit %d\n%s", code, p.log.text())
	}
	for _, w := range ps {
		w.signal(syscall.SIGTERM)
		if code := w.wait(); code != 0 {
			t.Errorf("worker: exit %d\n%s", code, w.log.text())
		}
	}
	if r := s.run("status", "--watch=0s"); r.code != exitUsage {
		t.Errorf("--watch=0s: exit %d\n%s", r.code, r.stderr)
	}
}
