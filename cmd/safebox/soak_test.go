//go:build long

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/deploy/watch"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// soakWallets is how many wallets a soak's events are about.
const soakWallets = 500

// flow is what must stay flat, replica by replica. Growth up to the share of what it was, and the slack beside it, is noise.
type flow struct {
	watch.Panel
	slack  float64
	unit   func(float64) string
	ofWork bool // a replica that the others left no work, as they may in a short run, has no value
}

const soakGrowth = 0.15

var soakFlows = []flow{
	{soakPanel("Resident memory", watch.Bytes, "process_resident_memory_bytes"), 8 << 20, megabytes, false},
	{soakPanel("Heap in use", watch.Bytes, "go_memstats_heap_inuse_bytes"), 8 << 20, megabytes, false},
	{soakPanel("Goroutines", watch.Count, "go_goroutines"), 5, plain, false},
	{soakPanel("Open file descriptors", watch.Count, "process_open_fds"), 5, plain, false},
	{soakPanel("Connections to the database", watch.Count, "sum by (instance) (safebox_db_pool_connections)"), 2, plain, false},
	{soakPanel("Lag, 99th percentile", watch.Seconds,
		"histogram_quantile(0.99, sum by (instance, le) (rate(safebox_event_lag_seconds_bucket[WINDOW])))"), 0.05, milliseconds, true},
	{soakPanel("Backlog", watch.Count, `safebox_event_backlog{group="ledger"}`), 100, plain, false},
}

func soakPanel(title string, unit watch.Unit, expr string) watch.Panel {
	return watch.Panel{Title: title, Unit: unit, Queries: []watch.Query{{Expr: expr, Legend: "{{instance}}"}}}
}

func megabytes(v float64) string    { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }
func plain(v float64) string        { return fmt.Sprintf("%.1f", v) }
func milliseconds(v float64) string { return fmt.Sprintf("%.1f ms", v*1000) }

// verdict compares the second fifth of a run with the last: the first is warming up.
type soakVerdict struct {
	flow
	replica    string
	then, last float64
}

func (v soakVerdict) flat() bool {
	return v.last <= v.then*(1+soakGrowth)+v.slack && !math.IsNaN(v.then) && !math.IsNaN(v.last)
}

// mean is that of the values from one share of a run to another.
func mean(c watch.Curve, began, ended time.Time, from, to float64) float64 {
	whole, sum, n := ended.Sub(began).Seconds(), 0.0, 0.0
	for _, p := range c.Points {
		if at := p.At.Sub(began).Seconds() / whole; at >= from && at <= to && !math.IsNaN(p.Value) {
			sum, n = sum+p.Value, n+1
		}
	}
	return sum / n
}

// soakFeed makes events without end: registrations first, then credits, transfers, and now and then a secret.
type soakFeed struct {
	mu sync.Mutex
	n  int
}

func (f *soakFeed) next(n int) (events [][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		i := f.n
		f.n++
		npub := func(k int) string {
			return event.EncodeNpub([32]byte{7, byte(k % soakWallets), byte(k % soakWallets >> 8)})
		}
		typ, data := event.TypeFundsCredited, fmt.Sprintf(`{"amount":%d}`, 1+i%1000)
		switch {
		case i < soakWallets:
			typ, data = event.TypeWalletRegistered, fmt.Sprintf(`{"npub":%q,"handle":"soak-%d","home_relay":"wss://relay.example.org","onboard_code":"x"}`, npub(i), i)
		case i%100 == 0:
			typ, data = event.TypeWalletAccessKeyRotated, fmt.Sprintf(`{"access_key":"key-%d"}`, i)
		case i%3 == 0:
			typ, data = event.TypeFundsTransferred, fmt.Sprintf(`{"to":%q,"amount":1}`, npub(i*7+1))
		}
		events = append(events, fmt.Appendf(nil, `{"specversion":"1.0","source":"/soak","id":"%d","type":%q,"subject":%q,"data":%s}`, i, typ, npub(i), data))
	}
	return events
}

// publish posts batches to a replica at a pace, until quit; it counts the requests that were not taken.
func (f *soakFeed) publish(address string, rate float64, quit <-chan struct{}) (failed int) {
	const every = 100 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for owed := 0.0; ; {
		select {
		case <-quit:
			return failed
		case <-tick.C:
		}
		owed += rate * every.Seconds()
		events := batch(f.next(int(owed)))
		owed -= math.Floor(owed)
		taken := false
		for try := 0; try < 100 && !taken; try++ { // what came back in vain is sent again, so that no event is left out
			resp, err := http.Post(address+"/v1/events", "application/cloudevents-batch+json", bytes.NewReader(events)) //nolint:noctx // the quit ends the loop
			if err == nil {
				io.Copy(io.Discard, resp.Body) //nolint:errcheck // it makes the connection good for the next request
				resp.Body.Close()
				taken = resp.StatusCode == http.StatusOK
			}
			if !taken {
				failed++
				<-tick.C
			}
		}
	}
}

// Three replicas under load take no more after a while than at first: memory, goroutines, connections, file descriptors and
// lag are flat. SAFEBOX_SOAK_MINUTES makes it long, SAFEBOX_SOAK_RATE sets the events a second, and SAFEBOX_SOAK_REPORT names a
// folder for SOAK.md and soak.svg. The short form, too short to judge by, shows that the measuring works.
func TestReplicasUnderLoadStayFlat(t *testing.T) {
	t.Parallel() // it waits for most of its time
	long, rate, scrape, judged := time.Duration(0), 100.0, time.Second, false
	if minutes, err := strconv.ParseFloat(os.Getenv("SAFEBOX_SOAK_MINUTES"), 64); err == nil {
		long, rate, scrape, judged = time.Duration(minutes*float64(time.Minute)), 300, 5*time.Second, true
	}
	if chosen, err := strconv.ParseFloat(os.Getenv("SAFEBOX_SOAK_RATE"), 64); err == nil {
		rate = chosen
	}
	s := newSite(t, dbtest.PostgreSQL(t), secretKey)
	prometheus := dbtest.Prometheus(t, scrape, nil)
	ps := s.workers(3)
	scraped(t, prometheus, ps...)
	feed, quit := &soakFeed{}, make(chan struct{})
	post(t, ps[0], feed.next(soakWallets))
	began := time.Now()
	var publishers sync.WaitGroup
	failures := make([]int, len(ps))
	for i, p := range ps {
		address := p.address()
		publishers.Go(func() { failures[i] = feed.publish(address, rate/float64(len(ps)), quit) })
	}
	<-time.After(long)
	var verdicts []soakVerdict
	var picture []byte
	eventually(t, "every curve has a value", func() (bool, string) {
		verdicts, picture = soakVerdicts(t, prometheus, began, time.Now(), scrape)
		found := map[string]int{}
		for _, v := range verdicts {
			found[v.Title]++
		}
		var missing []string
		for _, f := range soakFlows {
			if n := found[f.Title]; n < len(ps) && (n == 0 || !f.ofWork) {
				missing = append(missing, fmt.Sprintf("%s of %d replicas", f.Title, len(ps)-n))
			}
		}
		return len(missing) == 0, "missing: " + strings.Join(missing, ", ")
	})
	close(quit)
	publishers.Wait()
	s.idle()
	audit := s.ok("audit")
	for _, v := range verdicts {
		if judged && !v.flat() {
			t.Errorf("%s of %s grew from %s to %s", v.Title, v.replica, v.unit(v.then), v.unit(v.last))
		}
	}
	if err := wellFormed(picture); err != nil {
		t.Errorf("the picture: %v", err)
	}
	if dir := os.Getenv("SAFEBOX_SOAK_REPORT"); dir != "" {
		report := soakReport(long, rate, feed.n, failures, verdicts, audit)
		for name, content := range map[string][]byte{"SOAK.md": report, "soak.svg": picture} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestASoakTellsWhatGrowsFromWhatDoesNot(t *testing.T) {
	began := time.Unix(0, 0)
	ended := began.Add(100 * time.Second)
	judge := func(value func(second float64) float64) bool {
		var c watch.Curve
		for i := range 101 {
			c.Points = append(c.Points, watch.Point{At: began.Add(time.Duration(i) * time.Second), Value: value(float64(i))})
		}
		return soakVerdict{flow{slack: 5}, "", mean(c, began, ended, 0.2, 0.4), mean(c, began, ended, 0.8, 1)}.flat()
	}
	for name, c := range map[string]struct {
		value func(float64) float64
		flat  bool
	}{
		"a constant":               {func(float64) float64 { return 100 }, true},
		"a start that settles":     {func(s float64) float64 { return 100 + min(s*10, 200) }, true},
		"noise":                    {func(s float64) float64 { return 100 + 80*math.Sin(s*7) }, true},
		"what falls":               {func(s float64) float64 { return 200 - s }, true},
		"a leak":                   {func(s float64) float64 { return 100 + s }, false},
		"a step at the end":        {func(s float64) float64 { return 100 + 50*math.Floor(s/75) }, false},
		"what nobody can tell":     {func(float64) float64 { return math.NaN() }, false},
		"what is gone at the last": {func(s float64) float64 { return map[bool]float64{true: 1, false: math.NaN()}[s < 50] }, false},
	} {
		if got := judge(c.value); got != c.flat {
			t.Errorf("%s: flat %t, want %t", name, got, c.flat)
		}
	}
}

// soakVerdicts asks for every curve of the run, and draws them.
func soakVerdicts(t *testing.T, prometheus *dbtest.PrometheusServer, began, ended time.Time, scrape time.Duration) (all []soakVerdict, picture []byte) {
	t.Helper()
	answers := map[string][]watch.Curve{}
	var panels []watch.Panel
	window := fmt.Sprintf("%ds", int(max(4*scrape, time.Minute/4).Seconds()))
	for _, f := range soakFlows {
		q := f.Queries[0]
		q.Expr = strings.ReplaceAll(q.Expr, "WINDOW", window)
		found := curves(prometheus.Range(t, q.Expr, began, ended, max(scrape, ended.Sub(began)/240)), q)
		for _, c := range found {
			all = append(all, soakVerdict{f, c.Name, mean(c, began, ended, 0.2, 0.4), mean(c, began, ended, 0.8, 1)})
		}
		answers[f.Title], panels = found, append(panels, f.Panel)
	}
	d := watch.Dashboard{Title: "Three replicas under load", Rows: []watch.Row{{Title: "What must stay flat", Panels: panels}}}
	return all, d.Picture(answers, began, ended)
}

func soakReport(long time.Duration, rate float64, events int, failures []int, verdicts []soakVerdict, audit string) []byte {
	var b bytes.Buffer
	again := 0
	for _, n := range failures {
		again += n
	}
	fmt.Fprintf(&b, "# Soak\n\nWritten by `make soak MINUTES=%g`: three replicas on PostgreSQL, fed over HTTP with credits, transfers and rotations of\n"+
		"access keys, which are sealed. %s events in %v, at %g a second, on %d cores that the database, Prometheus and the\n"+
		"producers share; %d requests had to be sent again. %s\n\n"+
		"The mean of the second fifth of the run beside that of the last; the first is warming up. Flat means that the last is at\n"+
		"most %g %% above, and a slack beside that for what moves in steps.\n\n"+
		"| what | replica | second fifth | last fifth | slack | flat |\n| --- | --- | --- | --- | --- | --- |\n",
		long.Minutes(), terminal.Count(events), long, rate, runtime.NumCPU(), again, lastLine(audit), soakGrowth*100)
	for _, v := range verdicts {
		flat := "yes"
		if !v.flat() {
			flat = "**no**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", v.Title, v.replica, v.unit(v.then), v.unit(v.last), v.unit(v.slack), flat)
	}
	b.WriteString("\n![The same over time](soak.svg)\n")
	return b.Bytes()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return "The audit at the end: “" + lines[len(lines)-1] + "”"
}
