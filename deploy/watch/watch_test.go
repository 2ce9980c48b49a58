package watch

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/storage/dbtest"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatIsKeptIsWhatIsMade(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if diff := cmp.Diff(string(want), read(t, name)); diff != "" {
			t.Errorf("deploy/%s is not what is made (-made +kept); run `go generate ./deploy/watch`:\n%s", name, diff)
		}
	}
	for _, folder := range []string{"grafana/dashboards", "prometheus/rules"} {
		entries, err := os.ReadDir(filepath.Join("..", folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, made := files[folder+"/"+e.Name()]; !made {
				t.Errorf("deploy/%s/%s is kept and nothing makes it", folder, e.Name())
			}
		}
	}
}

var metricName = regexp.MustCompile(`\bsafebox_[a-z_]+`)

// known are the names of a registry, with those that Prometheus makes of a histogram.
func known(t *testing.T) map[string]bool {
	t.Helper()
	constants, err := os.ReadFile("../../metrics/names.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range metricName.FindAllString(string(constants), -1) {
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			names[name+suffix] = true
		}
	}
	if !names[metrics.EventLag] {
		t.Fatal("no names were found")
	}
	return names
}

func TestEveryPanelSaysWhatABadValueMeansAndAsksForSeriesThatThereAre(t *testing.T) {
	names := known(t)
	for _, d := range Dashboards() {
		titles := map[string]bool{}
		for _, p := range d.Panels() {
			if titles[p.Title] {
				t.Errorf("%s has two panels %q", d.Title, p.Title)
			}
			titles[p.Title] = true
			if len(strings.Fields(p.Description)) < 10 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: %s: the description says too little: %q", d.Title, p.Title, p.Description)
			}
			for _, q := range p.Queries {
				found := metricName.FindAllString(q.Expr, -1)
				for _, name := range found {
					if !names[name] {
						t.Errorf("%s: %s: there is no series %s", d.Title, p.Title, name)
					}
				}
				if !strings.Contains(q.Expr, chosen) || q.Legend == "" {
					t.Errorf("%s: %s: the query does not follow the choice of replicas, or has no legend: %s", d.Title, p.Title, q.Expr)
				}
			}
		}
	}
}

func TestADashboardFitsGrafanasGrid(t *testing.T) {
	for _, d := range Dashboards() {
		content, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var g struct {
			UID    string
			Panels []struct {
				ID      int
				Title   string
				GridPos place
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(content, &g); err != nil || g.UID != d.UID || len(g.Panels) != len(d.Panels())+len(d.Rows) {
			t.Fatalf("%s: %v, %d panels", d.Title, err, len(g.Panels))
		}
		for i, a := range g.Panels {
			if a.GridPos.X+a.GridPos.W > gridWidth || a.ID != i+1 {
				t.Errorf("%s: %s stands at %+v", d.Title, a.Title, a.GridPos)
			}
			for _, b := range g.Panels[i+1:] {
				p, q := a.GridPos, b.GridPos
				if p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H {
					t.Errorf("%s: %s lies over %s", d.Title, a.Title, b.Title)
				}
			}
		}
	}
}

var section = regexp.MustCompile(`(?m)^## (Safebox\w+)\n`)

func TestEveryAlertHasItsSectionInTheRunbook(t *testing.T) {
	runbook := read(t, "RUNBOOK.md")
	sections := map[string]string{}
	at := section.FindAllStringSubmatchIndex(runbook, -1)
	for i, m := range at {
		end := len(runbook)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		sections[runbook[m[2]:m[3]]] = runbook[m[1]:end]
	}
	rules := read(t, "prometheus/rules/safebox.yml")
	for _, a := range Alerts(Production) {
		text, there := sections[a.Name]
		if !there {
			t.Errorf("deploy/RUNBOOK.md has no section %s", a.Name)
			continue
		}
		delete(sections, a.Name)
		says := map[Severity]string{Page: "\nPage. ", Ticket: "\nTicket. "}[a.Severity]
		for _, part := range []string{says, "- **Meaning**: ", "- **Impact**: ", "- **Look at**: ", "**"} {
			if !strings.Contains(text, part) {
				t.Errorf("the section %s has no %q", a.Name, part)
			}
		}
		if !strings.Contains(text, "- **Do**: ") && !strings.Contains(text, "**do**: ") {
			t.Errorf("the section %s does not say what to do", a.Name)
		}
		if !strings.Contains(rules, "runbook_url: "+a.Runbook()) || !strings.HasSuffix(a.Runbook(), "#"+strings.ToLower(a.Name)) {
			t.Errorf("the alert %s does not lead to its section", a.Name)
		}
	}
	for name := range sections {
		t.Errorf("the section %s is of no alert", name)
	}
	for _, m := range regexp.MustCompile(`\]\(#(\w+)\)`).FindAllStringSubmatch(runbook, -1) {
		if !strings.Contains(strings.ToLower(runbook), "\n## "+m[1]+"\n") {
			t.Errorf("a link leads to #%s, which is not there", m[1])
		}
	}
}

func TestEveryAlertFiresAndDoesNotInPromtoolsTests(t *testing.T) {
	cases := read(t, "prometheus/tests/safebox.yml")
	for _, a := range Alerts(Production) {
		for _, verb := range []string{" fires\n", " does not fire\n"} {
			if strings.Count(cases, "  - name: "+a.Name+verb) != 1 {
				t.Errorf("deploy/prometheus/tests/safebox.yml has no case %q", a.Name+verb)
			}
		}
	}
	promtool(t, "test", "rules", "../prometheus/tests/safebox.yml")
}

// A rule that is broken must be caught: without the threshold of each alert, the cases that must not fire do.
func TestPromtoolsTestsNoticeAnAlertThatIsGone(t *testing.T) {
	cases := read(t, "prometheus/tests/safebox.yml")
	dir := t.TempDir()
	for _, a := range Alerts(Production) {
		rules := strings.Replace(string(Rules(Production)), quoted(a.Expr), quoted("vector(0) == 1"), 1)
		if rules == string(Rules(Production)) {
			t.Fatalf("the expression of %s was not found", a.Name)
		}
		always := strings.Replace(string(Rules(Production)), quoted(a.Expr), quoted("vector(1) == 1"), 1)
		for kind, content := range map[string]string{"never": rules, "always": always} {
			write(t, dir, "rules.yml", content)
			write(t, dir, "tests.yml", only(strings.Replace(cases, "../rules/safebox.yml", "rules.yml", 1), a.Name))
			out, err := exec.Command(dbtest.PrometheusProgram(t, "promtool"), "test", "rules", filepath.Join(dir, "tests.yml")).CombinedOutput()
			if err == nil {
				t.Errorf("nothing notices that %s %s fires:\n%s", a.Name, kind, out)
			}
		}
	}
}

// only keeps the cases of one alert.
func only(cases, alert string) string {
	head, rest, _ := strings.Cut(cases, "tests:\n")
	kept := head + "tests:\n"
	for _, c := range strings.Split(rest, "  - name: ")[1:] {
		if strings.HasPrefix(c, alert+" ") {
			kept += "  - name: " + c
		}
	}
	return kept
}

func TestRulesAtAnotherPaceAreTheSameRules(t *testing.T) {
	dir := t.TempDir()
	fast := Pace{Window: 5 * time.Second, Patience: 4 * time.Second, Silence: 3 * time.Second, Late: time.Second, Every: time.Second, For: func(d time.Duration) time.Duration { return d / 300 }}
	write(t, dir, "fast.yml", string(Rules(fast)))
	promtool(t, "check", "rules", filepath.Join(dir, "fast.yml"))
	slow := Alerts(Production)
	for i, a := range Alerts(fast) {
		numbers := regexp.MustCompile(`\[\w+\]|> [\d.]+`)
		if a.Name != slow[i].Name || numbers.ReplaceAllString(a.Expr, "") != numbers.ReplaceAllString(slow[i].Expr, "") {
			t.Errorf("%s is %s at one pace and %s at another", a.Name, slow[i].Expr, a.Expr)
		}
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(dbtest.PrometheusProgram(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
