package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/ledger"
)

// address is where a worker says that it listens.
func (p *process) address() string {
	p.t.Helper()
	p.await(`"http: listening"`)
	for line := range strings.Lines(p.log.text()) {
		var entry struct{ Msg, Addr string }
		if err := json.Unmarshal([]byte(line), &entry); err == nil && entry.Addr != "" {
			return "http://" + entry.Addr
		}
	}
	p.t.Fatalf("no address in the log:\n%s", p.log.text())
	return ""
}

// ask sends a request with a token and returns the status and the body.
func ask(t *testing.T, method, url, kind, token string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestWorkerTakesEventsOverHTTPAndShowsItsMetrics(t *testing.T) {
	const token = "open-the-door"
	dbtest.Each(t, func(t *testing.T, url string) {
		s := newSite(t, url, "SAFEBOX_INGEST_TOKEN="+token)
		ps := s.workers(1)
		at := ps[0].address()
		eventually(t, "the worker is ready", func() (bool, string) {
			status, body := ask(t, http.MethodGet, at+"/readyz", "", "", nil)
			return status == http.StatusOK, body
		})
		if status, body := ask(t, http.MethodGet, at+"/livez", "", "", nil); status != http.StatusOK {
			t.Errorf("livez: %d %s", status, body)
		}
		script := demo.NewScript(2, 1)
		const one, many = "application/cloudevents+json", "application/cloudevents-batch+json"
		batch := []byte("[" + string(bytes.Join([][]byte{script.Setup[1], script.Setup[1], []byte(`{"id":"x"}`)}, []byte(","))) + "]")
		for _, c := range []struct {
			name, kind, token string
			body              []byte
			status            int
			says              string
		}{
			{"without the token", one, "", script.Setup[0], http.StatusUnauthorized, ""},
			{"a first event", one, token, script.Setup[0], http.StatusCreated, "appended"},
			{"the same event again", one, token, script.Setup[0], http.StatusOK, "duplicate"},
			{"other content under its id", one, token, bytes.Replace(script.Setup[0], []byte("demo-000"), []byte("demo-999"), 1), http.StatusConflict, "conflict"},
			{"a batch with a bad event", many, token, batch, http.StatusOK, `"refused":1`},
		} {
			status, body := ask(t, http.MethodPost, at+"/v1/events", c.kind, c.token, c.body)
			if status != c.status || !strings.Contains(strings.ReplaceAll(body, " ", ""), c.says) {
				t.Errorf("%s: %d %s", c.name, status, body)
			}
		}
		s.idle()
		audit, _ := answer[ledger.Audit](s, "audit")
		if !audit.OK || audit.Applied != 2 {
			t.Errorf("audit: %+v", audit)
		}
		_, metrics := ask(t, http.MethodGet, at+"/metrics", "", "", nil)
		for _, series := range []string{
			`safebox_schema_info{revision="` + migrations.Latest() + `"} 1`,
			"safebox_init_leader 1",
			`safebox_events_appended_total{result="appended",type="safebox.wallet.registered.v1"} 1`,
			`safebox_events_total{outcome="applied",type="safebox.funds.credited.v1"} 1`,
			"safebox_db_pool_max_connections ",
			"safebox_build_info{",
		} {
			if !strings.Contains(metrics, series) {
				t.Errorf("no %s in the metrics", series)
			}
		}
		drain(t, ps)
		if strings.Contains(ps[0].log.text(), token) || strings.Contains(metrics, "npub1") {
			t.Error("a secret or a wallet was told")
		}
	})
}

func TestSecondWorkerOnTheDefaultAddressTakesAnother(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), "SAFEBOX_HTTP_ADDR=")
	ps := s.workers(2)
	if a, b := ps[0].address(), ps[1].address(); a == b {
		t.Errorf("both listen on %s", a)
	}
	drain(t, ps)
}
