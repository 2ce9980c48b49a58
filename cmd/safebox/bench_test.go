package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/bench"
)

func TestBenchMeasuresAuditsAndLeavesNothingBehind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		out := s.ok("bench", "--events", "300", "--wallets", "20", "--zipf", "1", "--hot", "0.2")
		server := "PostgreSQL "
		if s.dialect() == storage.SQLite {
			server = "synchronous FULL"
		}
		for _, want := range []string{server, "append", "drain", "EVENTS/S", "The audit is clean: 340 events"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		}
		s.tidy()
	})
}

func TestBenchReportsAsOneDocument(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		got, r := answer[bench.Result](s, "bench", "--events", "200", "--wallets", "10", "--rate", "500", "--replicas", "2", "--seed", "7", "--batch", "50")
		if r.code != 0 || !got.OK || got.Shape != (bench.Shape{Events: 200, Wallets: 10, Seed: 7}) || got.Replicas != 2 || got.Batch != 50 ||
			got.Lag == nil || got.Lag.Count == 0 || got.Lag.Count > 200 || got.Audit.Events != 220 {
			t.Errorf("exit %d, %+v\n%s", r.code, got, r.stderr)
		}
		s.tidy()
	})
}

func TestBenchThatIsInterruptedLeavesNothingBehind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		p := s.start(nil, "bench", "--wallets", "10", "--events", "100000", "--rate", "100")
		p.await("appending and draining")
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != 128+int(syscall.SIGINT) {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
		s.tidy()
	})
}

func TestBenchRefusesAWorkloadThatMakesNoSense(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	for _, args := range [][]string{
		{"--events", "0"},
		{"--wallets", "1"},
		{"--zipf", "-1"},
		{"--hot", "2"},
		{"--rate", "-5"},
		{"--replicas", "0"},
		{"--rate", "NaN"},
		{"--events", "10000000", "--rate", "1"},
	} {
		r := s.run(append([]string{"bench"}, args...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "--"+strings.TrimLeft(args[len(args)-2], "-")) {
			t.Errorf("safebox bench %s: exit %d, %s", strings.Join(args, " "), r.code, r.stderr)
		}
	}
	s.tidy()
}
