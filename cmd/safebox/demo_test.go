package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
)

func TestDemoEndsWithEveryEventAppliedOnceAndLeavesNothingBehind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		r := s.run("demo", "--database", url, "--events", "1500")
		if r.code != 0 || !strings.Contains(r.stdout, "Every event was applied exactly once:") || !strings.Contains(r.stdout, "SIGKILL") {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		s.tidy()
	})
}

func TestDemoThatIsInterruptedLeavesNothingBehind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url)
		p := s.start(nil, "demo", "--database", url)
		p.await("opened")
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != 128+int(syscall.SIGINT) {
			t.Errorf("exit %d\n%s", code, p.log.text())
		}
		s.tidy()
	})
}

func TestDemoReportsAsOneDocument(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	report, r := answer[demo.Report](s, "demo", "--events", "600", "--database", s.url)
	if r.code != 0 || !report.OK || report.Dialect != storage.SQLite || report.Killed == "" || report.Leader == "" ||
		report.Wallets != demo.Wallets || report.Events+int64(report.Duplicates) != int64(report.Lines) {
		t.Errorf("exit %d, %+v\n%s", r.code, report, r.stderr)
	}
	s.tidy()
}

// tidy expects what works on a throw-away database to have removed it.
func (s *site) tidy() {
	s.t.Helper()
	if s.dialect() == storage.SQLite {
		left, err := os.ReadDir(filepath.Dir(strings.TrimPrefix(s.url, "sqlite:///")))
		if err != nil || len(left) > 0 {
			s.t.Errorf("left behind: %v, %v", left, err)
		}
		return
	}
	var left int
	err := s.sql().QueryRowContext(s.t.Context(), `SELECT count(*) FROM pg_database WHERE datname LIKE 'safebox\_%'`).Scan(&left)
	if err != nil || left != 0 {
		s.t.Errorf("%d databases left behind, %v", left, err)
	}
}
