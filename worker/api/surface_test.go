package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/safebox/safebox/worker/api"
)

func TestHealthTellsEachCheck(t *testing.T) {
	var down atomic.Bool
	url := serve(t, api.Options{Appender: &memory{}, Ready: func(context.Context) []api.Check {
		return []api.Check{{Name: "initialised", OK: true}, {Name: "database", OK: !down.Load(), Detail: "answers in 1ms"}}
	}})
	a := do(t, http.MethodGet, url+"/readyz", "")
	if a.status != http.StatusOK || a.body["ready"] != true || len(a.body["checks"].([]any)) != 2 {
		t.Errorf("ready: %d %s", a.status, a.raw)
	}
	down.Store(true)
	a = do(t, http.MethodGet, url+"/readyz", "")
	second := a.body["checks"].([]any)[1].(map[string]any)
	if a.status != http.StatusServiceUnavailable || a.body["ready"] != false || second["name"] != "database" || second["ok"] != false {
		t.Errorf("not ready: %d %s", a.status, a.raw)
	}
	if a = do(t, http.MethodGet, url+"/livez", ""); a.status != http.StatusOK {
		t.Errorf("livez with the database down: %d", a.status)
	}
}

func TestLivezSaysWhatIsStuck(t *testing.T) {
	var stuck atomic.Value
	stuck.Store("")
	url := serve(t, api.Options{Appender: &memory{}, Stuck: func() string { return stuck.Load().(string) }})
	if a := do(t, http.MethodGet, url+"/livez", ""); a.status != http.StatusOK || !strings.Contains(a.raw, `"ok"`) {
		t.Errorf("a process that moves: %d %s", a.status, a.raw)
	}
	stuck.Store("a handler has been at one batch for 31s")
	if a := do(t, http.MethodGet, url+"/livez", ""); a.status != http.StatusServiceUnavailable || a.body["detail"] != stuck.Load() {
		t.Errorf("a process that is stuck: %d %s", a.status, a.raw)
	}
}

func TestReadyWithoutChecksListsNone(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}})
	if a := do(t, http.MethodGet, url+"/readyz", ""); a.status != http.StatusOK || !strings.Contains(a.raw, `"checks":[]`) {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestEventsWaitUntilTheReplicaWasReadyOnce(t *testing.T) {
	var ready atomic.Bool
	var looks atomic.Int64
	m := &memory{}
	url := serve(t, api.Options{Appender: m, Ready: func(context.Context) []api.Check {
		looks.Add(1)
		return []api.Check{{Name: "initialised", OK: ready.Load(), Detail: "waits for the leader"}}
	}})
	a := post(t, url, structured, credit("1", 1))
	wantProblem(t, a, http.StatusServiceUnavailable, "urn:safebox:problem:not-ready")
	if a.header.Get("Retry-After") == "" || !strings.Contains(a.body["detail"].(string), `"initialised"`) {
		t.Errorf("not ready: %v %s", a.header, a.raw)
	}
	if _, calls := m.count(); calls != 0 {
		t.Error("an event reached the appender before the replica was ready")
	}
	ready.Store(true)
	if a = post(t, url, structured, credit("1", 1)); a.status != http.StatusCreated {
		t.Fatalf("ready: %d %s", a.status, a.raw)
	}
	before := looks.Load()
	for range 10 {
		post(t, url, structured, credit("1", 1))
	}
	if looks.Load() != before {
		t.Error("the checks are run again for every event")
	}
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}, Metrics: http.NotFoundHandler()})
	for _, path := range []string{"/", "/v1", "/v1/events/", "/v1/wallets", "/livez/x", "/" + strings.Repeat("x", 5000)} {
		a := do(t, http.MethodGet, url+path, "")
		wantProblem(t, a, http.StatusNotFound, "about:blank")
		if len(a.raw) > 1000 {
			t.Errorf("the answer repeats %d bytes", len(a.raw))
		}
	}
	for path, allow := range map[string]string{
		"/livez": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD", "/v1/events": "POST",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			if strings.Contains(allow, method) {
				continue
			}
			a := do(t, method, url+path, "")
			wantProblem(t, a, http.StatusMethodNotAllowed, "about:blank")
			if got := a.header.Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
			}
		}
	}
	if a := do(t, http.MethodHead, url+"/livez", ""); a.status != http.StatusOK || a.raw != "" {
		t.Errorf("HEAD /livez: %d %q", a.status, a.raw)
	}
}

func TestMetricsAreServedWhereThereAreAny(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "safebox_up 1\n")
	})})
	if a := do(t, http.MethodGet, url+"/metrics", ""); a.status != http.StatusOK || a.raw != "safebox_up 1\n" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	wantProblem(t, do(t, http.MethodGet, serve(t, api.Options{Appender: &memory{}})+"/metrics", ""), http.StatusNotFound, "about:blank")
}

func TestTheBearerTokenGuardsTheDoor(t *testing.T) {
	const token = "correct-horse-battery-staple"
	var out logs
	m := &memory{}
	url := serve(t, api.Options{Appender: m, IngestToken: token, Logger: out.logger()})
	for name, given := range map[string]string{
		"none": "", "another": "Bearer wrong", "a prefix": "Bearer " + token[:len(token)-1], "a longer one": "Bearer " + token + "x",
		"another scheme": "Basic " + token, "no scheme": token, "an empty one": "Bearer ", "another case": "Bearer " + strings.ToUpper(token),
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if given != "" {
				headers = []string{"Authorization", given}
			}
			a := post(t, url, structured, credit("1", 1), headers...)
			wantProblem(t, a, http.StatusUnauthorized, "about:blank")
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
			}
		})
	}
	if _, calls := m.count(); calls != 0 {
		t.Fatal("an event came in without the token")
	}
	for _, given := range []string{"Bearer " + token, "bearer " + token, "Bearer  " + token} {
		if a := post(t, url, structured, credit("1", 1), "Authorization", given); a.status >= 300 {
			t.Errorf("with the token: %d %s", a.status, a.raw)
		}
	}
	if a := do(t, http.MethodGet, url+"/readyz", ""); a.status != http.StatusOK {
		t.Errorf("readyz needs no token: %d", a.status)
	}
	if log := out.String(); strings.Contains(strings.ToLower(log), "horse") || !strings.Contains(log, "http: request") {
		t.Errorf("the log must have the requests and not the token: %s", log)
	}
}

func TestWithoutATokenOnlyThisMachineMayPost(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}})
	for _, host := range []string{"evil.example", "evil.example:8080", "10.0.0.1", "127.0.0.1.evil.example", "localhost.evil.example"} {
		a := post(t, url, structured, credit("1", 1), "Host", host)
		wantProblem(t, a, http.StatusForbidden, "urn:safebox:problem:token-required")
		if !strings.Contains(a.body["detail"].(string), "SAFEBOX_INGEST_TOKEN") {
			t.Errorf("the answer does not name the variable: %s", a.raw)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:80", "[::1]", "127.1.2.3"} {
		if a := post(t, url, structured, credit("1", 1), "Host", host); a.status >= 300 {
			t.Errorf("host %s: %d %s", host, a.status, a.raw)
		}
	}
	// A handler that does not know where it listens takes nothing.
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/events", strings.NewReader(credit("1", 1)))
	req.Header.Set("Content-Type", structured)
	api.New(api.Options{Appender: &memory{}}).ServeHTTP(rec, req)
	if rec.Code != http.StatusForbidden {
		t.Errorf("unknown address: %d", rec.Code)
	}
}

func TestTheContentOfEventsStaysOutOfTheLog(t *testing.T) {
	var out logs
	url := serve(t, api.Options{Appender: &memory{}, Logger: out.logger()})
	secret := strings.Replace(credit("1", 1), `{"amount":1}`, `{"nwc_secret":"hush"}`, 1)
	secret = strings.Replace(secret, "funds.credited", "wallet.nwc_rotated", 1)
	if a := post(t, url, structured, secret); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	bad := strings.Replace(secret, `"hush"`, `["hush"]`, 1)
	if a := post(t, url, structured, bad); a.status != http.StatusUnprocessableEntity || strings.Contains(a.raw, "hush") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := do(t, http.MethodGet, url+"/livez?token=hush", ""); a.status != http.StatusOK {
		t.Errorf("livez: %d", a.status)
	}
	if strings.Contains(out.String(), "hush") {
		t.Errorf("the log tells a secret: %s", out.String())
	}
}
