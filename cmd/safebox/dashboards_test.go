package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/deploy/watch"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
)

// batch is lines of JSON as one batch of CloudEvents.
func batch[T ~[]byte](events []T) []byte {
	b := []byte{'['}
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, ']')
}

// scraped makes Prometheus scrape replicas by the names replica-1, replica-2 and so on.
func scraped(t *testing.T, prometheus *dbtest.PrometheusServer, ps ...*process) {
	t.Helper()
	targets := map[string]string{}
	for i, p := range ps {
		targets[fmt.Sprintf("replica-%d", i+1)] = strings.TrimPrefix(p.address(), "http://")
	}
	prometheus.Scrape(t, targets)
}

// post gives a replica a batch of events over HTTP, when it is ready.
func post[T ~[]byte](t *testing.T, p *process, events []T) {
	t.Helper()
	eventually(t, "the replica is ready", func() (bool, string) {
		status, body := ask(t, http.MethodGet, p.address()+"/readyz", "", "", nil)
		return status == http.StatusOK, body
	})
	status, body := ask(t, http.MethodPost, p.address()+"/v1/events", "application/cloudevents-batch+json", "", batch(events))
	if status != http.StatusOK {
		t.Fatalf("a batch of events: %d %s", status, body)
	}
}

// The queries of every panel, on a Prometheus that scrapes three replicas at work. SAFEBOX_TEST_PICTURES names a folder to
// draw the dashboards into; the replicas then work for a minute.
func everyPanelAnswers(t *testing.T) {
	t.Parallel() // it waits for most of its time
	pictures := os.Getenv("SAFEBOX_TEST_PICTURES")
	least := time.NewTimer(0)
	if pictures != "" {
		least.Reset(time.Minute)
	}
	s := newSite(t, dbtest.PostgreSQL(t))
	prometheus := dbtest.Prometheus(t, time.Second, nil)
	ps := s.workers(3)
	scraped(t, prometheus, ps...)
	script := demo.NewScript(23, 20_000)
	post(t, ps[0], script.Setup)
	began := time.Now()
	for _, p := range ps {
		stop := offer(p, script, 20)
		defer stop()
	}
	for _, d := range watch.Dashboards() {
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				eventually(t, d.Title+": "+p.Title+": an answer to "+q.Expr, func() (bool, string) {
					return len(curves(prometheus.Query(t, filled(q)), q)) > 0, ""
				})
			}
		}
	}
	<-least.C
	ended := time.Now()
	for _, d := range watch.Dashboards() {
		answers := map[string][]watch.Curve{}
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				samples := prometheus.Range(t, filled(q), began, ended, max(time.Second, ended.Sub(began)/120))
				answers[p.Title] = append(answers[p.Title], curves(samples, q)...)
			}
		}
		picture := d.Picture(answers, began, ended)
		if err := wellFormed(picture); err != nil {
			t.Errorf("the picture of %s: %v", d.Title, err)
		}
		for _, p := range d.Panels() {
			if !bytes.Contains(picture, []byte(">"+html.EscapeString(p.Title)+"<")) {
				t.Errorf("the picture of %s lacks the panel %s", d.Title, p.Title)
			}
		}
		if pictures != "" {
			if err := os.WriteFile(filepath.Join(pictures, d.File()+".svg"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// filled is a query with Grafana's variables filled in: all replicas, and a window of some scrapes.
func filled(q watch.Query) string {
	return strings.NewReplacer("$__rate_interval", "6s", `instance=~"$instance"`, `instance=~".*"`).Replace(q.Expr)
}

// curves are the series of an answer that have a number.
func curves(samples []dbtest.Sample, q watch.Query) []watch.Curve {
	var all []watch.Curve
	for _, s := range samples {
		if len(s.Values) == 0 { // of a query at one moment
			s.Values = [][2]any{s.Value}
		}
		c := watch.Curve{Name: q.Named(s.Labels)}
		numbers := 0
		for _, v := range s.Values {
			at, _ := v[0].(float64)
			point := watch.Point{At: time.UnixMilli(int64(at * 1000)), Value: dbtest.Number(v)}
			if !math.IsNaN(point.Value) {
				numbers++
			}
			c.Points = append(c.Points, point)
		}
		if numbers > 0 {
			all = append(all, c)
		}
	}
	return all
}

func wellFormed(document []byte) error {
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// seriesOf is how many series a replica shows of Safebox.
func seriesOf(t *testing.T, p *process) int {
	t.Helper()
	n := 0
	_, text := ask(t, http.MethodGet, p.address()+"/metrics", "", "", nil)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "safebox_") {
			n++
		}
	}
	return n
}

func TestWalletsAddNoSeries(t *testing.T) {
	n := 1000
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		n = 100_000
	}
	s := newSite(t, dbtest.PostgreSQL(t))
	p := s.workers(1)[0]
	eventually(t, "the schema is told", func() (bool, string) { return p.metrics()[`schema_info{revision="unknown"}`] == 0, "" })
	before := seriesOf(t, p)
	for from := 0; from < n; from += 500 {
		var events [][]byte
		for i := from; i < from+500; i++ {
			npub := event.EncodeNpub([32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
			events = append(events, fmt.Appendf(nil, `{"specversion":"1.0","source":"/wallets","id":"%d","type":"safebox.wallet.registered.v1","subject":%q,`+
				`"data":{"npub":%q,"handle":"wallet-%d","home_relay":"wss://relay.example.org","onboard_code":"x"}}`, i, npub, npub, i))
		}
		post(t, p, events)
	}
	s.idle()
	eventually(t, "every registration is counted", func() (bool, string) {
		applied := p.metrics()[`events_total{outcome="applied",type="safebox.wallet.registered.v1"}`]
		return applied == float64(n), fmt.Sprint(applied)
	})
	if after := seriesOf(t, p); after != before {
		t.Errorf("%d wallets made %d series of %d", n, after, before)
	}
}
