package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
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

// post gives a replica a batch of events over HTTP.
func post[T ~[]byte](t *testing.T, p *process, events []T) {
	t.Helper()
	status, body := ask(t, http.MethodPost, p.address()+"/v1/events", "application/cloudevents-batch+json", "", batch(events))
	if status != http.StatusOK {
		t.Fatalf("a batch of events: %d %s", status, body)
	}
}

// The queries of every panel, on a Prometheus that scrapes three replicas at work. SAFEBOX_TEST_PICTURES names a folder to
// draw the dashboards into; the load is then a longer one.
func TestEveryPanelHasAnAnswerWhileReplicasWork(t *testing.T) {
	t.Parallel() // it waits for most of its time
	pictures := os.Getenv("SAFEBOX_TEST_PICTURES")
	rounds, parts := 10, 40
	if pictures != "" {
		rounds, parts = 60, 240
	}
	const every = 500 * time.Millisecond
	server := dbtest.Server(t, dbtest.Options{Settings: map[string]string{"deadlock_timeout": "50ms"}})
	s := newSite(t, server.Database(t))
	prometheus := dbtest.Prometheus(t, every, nil)
	ps := s.workers(3)
	scraped(t, prometheus, ps...)
	eventually(t, "three replicas are scraped", func() (bool, string) {
		up := prometheus.Query(t, `sum(up == 1)`)
		return len(up) == 1 && dbtest.Number(up[0].Value) == 3, fmt.Sprint(up)
	})
	script := demo.NewScript(23, parts*60)
	post(t, ps[0], script.Setup)
	began := time.Now()
	tick := time.NewTicker(time.Duration(rounds) * time.Second / time.Duration(parts))
	defer tick.Stop()
	for n := range parts {
		post(t, ps[n%3], script.Activity[len(script.Activity)*n/parts:len(script.Activity)*(n+1)/parts])
		<-tick.C
	}
	s.idle()
	fill := strings.NewReplacer("$__rate_interval", "4s", `instance=~"$instance"`, `instance=~".*"`)
	ended := time.Now()
	step := max(every, ended.Sub(began)/120)
	for _, d := range watch.Dashboards() {
		drawn := map[string][]watch.Curve{}
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				curves := answered(prometheus.Range(t, fill.Replace(q.Expr), began, ended, step), q)
				if len(curves) == 0 {
					t.Errorf("%s: %s: no answer to %s", d.Title, p.Title, q.Expr)
				}
				drawn[p.Title] = append(drawn[p.Title], curves...)
			}
		}
		picture := d.Picture(drawn, began, ended)
		if err := wellFormed(picture); err != nil {
			t.Errorf("the picture of %s: %v", d.Title, err)
		}
		for _, p := range d.Panels() {
			if !bytes.Contains(picture, []byte(">"+strings.ReplaceAll(p.Title, "'", "&#39;")+"<")) {
				t.Errorf("the picture of %s lacks the panel %s", d.Title, p.Title)
			}
		}
		if pictures != "" {
			if err := os.WriteFile(filepath.Join(pictures, d.File()+".svg"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	drain(t, ps)
}

// answered are the curves of an answer that have a number.
func answered(samples []dbtest.Sample, q watch.Query) []watch.Curve {
	var curves []watch.Curve
	for _, s := range samples {
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
			curves = append(curves, c)
		}
	}
	return curves
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
