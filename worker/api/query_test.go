package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

func TestPartsOfThePathAreDecodedOnce(t *testing.T) {
	url := serve(t, full())
	if a := do(t, http.MethodGet, url+"/v1/events/%2Fshop/1", ""); a.status != http.StatusOK || a.body["outcome"] != "rejected" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	for _, path := range []string{"/v1/events/%252Fshop/1", "/v1/events/shop/1", "/v1/events/%2Fshop/%31%20", "/v1/events/%2e%2e/1", "/v1/events/%2Fshop%2F1/x"} {
		wantProblem(t, do(t, http.MethodGet, url+path, ""), http.StatusNotFound, "urn:safebox:problem:event-not-found")
	}
	for path, field := range map[string]string{
		"/v1/events/%00/1": "source", "/v1/events/%2Fshop/a%0Ab": "id", "/v1/wallets/%ff": "key", "/v1/wallets/%C2%85": "key",
		"/v1/wallets/" + strings.Repeat("x", 1025): "key", "/v1/wallets/%00/entries": "key", "/v1/parked?subject=%00": "subject",
	} {
		a := do(t, http.MethodGet, url+path, "")
		wantProblem(t, a, http.StatusBadRequest, "urn:safebox:problem:bad-parameter")
		if a.body["field"] != field || len(a.raw) > 1000 {
			t.Errorf("%.40s: %s", path, a.raw)
		}
	}
}

func TestTheJournalIsReadPageByPage(t *testing.T) {
	url := serve(t, full())
	next, want := "0", 1.0
	for pages := 1; ; pages++ {
		a := do(t, http.MethodGet, url+"/v1/wallets/alice/entries?limit=100&after="+next, "")
		if a.status != http.StatusOK || a.body["npub"] != npub {
			t.Fatalf("%d %.300s", a.status, a.raw)
		}
		for _, e := range a.body["entries"].([]any) {
			if seq := e.(map[string]any)["seq"]; seq != want {
				t.Fatalf("entry %v follows %v", seq, want-1)
			}
			want++
		}
		if a.body["next"] == nil {
			if pages != 3 || want != aliceEntries+1 {
				t.Errorf("%d pages with %v entries", pages, want-1)
			}
			return
		}
		next = fmt.Sprint(a.body["next"])
	}
}

func TestParkedEventsAreReadPageByPage(t *testing.T) {
	url := serve(t, full())
	ask, want := "?limit=2", 8.0
	for pages := 1; ; pages++ {
		a := do(t, http.MethodGet, url+"/v1/parked"+ask, "")
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		for _, e := range a.body["events"].([]any) {
			if position := e.(map[string]any)["position"]; position != want {
				t.Fatalf("position %v follows %v", position, want-1)
			}
			want++
		}
		if a.body["next"] == nil {
			if pages != 2 || want != 11 {
				t.Errorf("%d pages up to position %v", pages, want-1)
			}
			break
		}
		ask = fmt.Sprint("?limit=2&after=", a.body["next"])
	}
	for _, after := range []string{"", "8", "64.1", "3.08", "3.-1"} {
		a := do(t, http.MethodGet, url+"/v1/parked?after="+after, "")
		if wantProblem(t, a, http.StatusBadRequest, "urn:safebox:problem:bad-parameter"); a.body["field"] != "after" {
			t.Errorf("%s: %s", after, a.raw)
		}
	}
}

func TestWrongParametersAreNamed(t *testing.T) {
	url := serve(t, full())
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=": "limit", "limit=+5": "limit", "limit=05": "limit", "limit=5.0": "limit", "limit=1e2": "limit",
		"limit=5&limit=6": "limit", "after=-1": "after", "after=9223372036854775808": "after", "after=x": "after", "page=2": "query", "%zz=1": "query",
		"limit=5;after=1": "query", "LIMIT=5": "query",
	} {
		a := do(t, http.MethodGet, url+"/v1/wallets/alice/entries?"+query, "")
		wantProblem(t, a, http.StatusBadRequest, "urn:safebox:problem:bad-parameter")
		if a.body["field"] != field {
			t.Errorf("%s: %s", query, a.raw)
		}
	}
	if a := do(t, http.MethodGet, url+"/v1/wallets/alice/entries?after=9223372036854775807", ""); a.status != http.StatusOK || a.body["next"] != nil {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// doings keeps what operators did.
type doings struct {
	archive
	did []string
}

func (d *doings) Retry(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error) {
	d.did = append(d.did, fmt.Sprint("retry ", subject, " ", by))
	return d.archive.Retry(ctx, subject, by)
}

func (d *doings) Skip(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error) {
	d.did = append(d.did, fmt.Sprint("skip ", subject, " ", by))
	return d.archive.Skip(ctx, subject, by)
}

func TestOperationsSayWhoAndASkipSaysWhy(t *testing.T) {
	d, o := &doings{}, full()
	o.Operations = d
	url := serve(t, o)
	act := func(path, body string) answer {
		return do(t, http.MethodPost, url+path, body, "Content-Type", "application/json; charset=utf-8")
	}
	for path, cases := range map[string]map[string]string{
		"/v1/parked/alice/retry": {`{}`: "by", `{"by":" "}`: "by", `{"by":"a\nb"}`: "by", `{"by":"bob","reason":"a\u0000"}`: "reason"},
		"/v1/parked/alice/skip":  {`{"by":"bob"}`: "reason", `{"by":"bob","reason":""}`: "reason", `{"reason":"x"}`: "by", `{"by":"` + strings.Repeat("b", 1001) + `"}`: "by"},
	} {
		for body, field := range cases {
			a := act(path, body)
			wantProblem(t, a, http.StatusUnprocessableEntity, "urn:safebox:problem:operation-refused")
			if a.body["field"] != field {
				t.Errorf("%s %.60s: %s", path, body, a.raw)
			}
		}
		for _, body := range []string{"", "null x", "[]", `{"by":"bob","reason":"x","force":true}`, `{"by":7}`, `{"by":"bob"}{}`} {
			wantProblem(t, act(path, body), http.StatusBadRequest, "urn:safebox:problem:malformed-json")
		}
	}
	if len(d.did) > 0 {
		t.Fatalf("refused, and done all the same: %v", d.did)
	}
	for path, body := range map[string]string{
		"/v1/parked/alice/retry": `{"by":"bob"}`, "/v1/parked/a%2Fb/skip": `{"by":"bob","reason":"it was a test"}`,
	} {
		if a := act(path, body); a.status != http.StatusOK && a.status != http.StatusNotFound {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if got := strings.Join(d.did, "\n"); len(d.did) != 2 || !strings.Contains(got, "retry alice {bob }") || !strings.Contains(got, "skip a/b {bob it was a test}") {
		t.Errorf("done:\n%s", got)
	}
}

func TestEachSurfaceHasItsToken(t *testing.T) {
	o := full()
	o.IngestToken, o.AdminToken = "ingest-token", "admin-token"
	url := serve(t, o)
	const by = `{"by":"bob","reason":"why"}`
	for _, c := range []struct {
		method, path, body, kind string
		ingest, admin, basic     bool
	}{
		{http.MethodPost, "/v1/events", credit("1", 1), structured, true, false, false},
		{http.MethodGet, "/v1/events/%2Fshop/1", "", "", true, true, false},
		{http.MethodGet, "/v1/wallets/alice", "", "", true, true, false},
		{http.MethodGet, "/v1/wallets/alice/entries", "", "", true, true, false},
		{http.MethodGet, "/v1/status", "", "", false, true, true},
		{http.MethodGet, "/v1/parked", "", "", false, true, true},
		{http.MethodGet, "/", "", "", false, true, true},
		{http.MethodPost, "/v1/parked/alice/retry", by, "application/json", false, true, false},
		{http.MethodPost, "/v1/parked/alice/skip", by, "application/json", false, true, false},
	} {
		for _, given := range []struct {
			authorization string
			opens         bool
		}{
			{"", false},
			{"Bearer wrong", false},
			{"Bearer ingest-token", c.ingest},
			{"Bearer admin-token", c.admin},
			{"Basic YW55Ym9keTphZG1pbi10b2tlbg==", c.basic}, // anybody:admin-token
			{"Basic YW55Ym9keTppbmdlc3QtdG9rZW4=", false},   // anybody:ingest-token
		} {
			headers := []string{"Content-Type", c.kind}
			if given.authorization != "" {
				headers = append(headers, "Authorization", given.authorization)
			}
			a := do(t, c.method, url+c.path, c.body, headers...)
			if opened := a.status < 300; opened != given.opens || !opened && a.status != http.StatusUnauthorized {
				t.Errorf("%s %s with %q: %d %s", c.method, c.path, given.authorization, a.status, a.raw)
			}
			if asks := len(a.header.Values("WWW-Authenticate")); a.status == http.StatusUnauthorized && asks != 1 && (!c.basic || asks != 2) {
				t.Errorf("%s: %d challenges", c.path, asks)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json"} {
		if a := do(t, http.MethodGet, url+path, ""); a.status != http.StatusOK {
			t.Errorf("%s wants a token: %d", path, a.status)
		}
	}
}

func TestWithoutATokenEverySurfaceIsThisMachinesAlone(t *testing.T) {
	url := serve(t, full())
	for _, path := range []string{"/v1/events/%2Fshop/1", "/v1/wallets/alice", "/v1/wallets/alice/entries", "/v1/status", "/v1/parked", "/"} {
		for _, headers := range [][]string{
			{"Host", "evil.example"}, {"X-Forwarded-For", "127.0.0.1"}, {"Forwarded", "for=127.0.0.1"}, {"Via", "1.1 proxy"}, {"X-Real-Ip", "::1"},
		} {
			a := do(t, http.MethodGet, url+path, "", headers...)
			wantProblem(t, a, http.StatusForbidden, "urn:safebox:problem:token-required")
			if !strings.Contains(a.raw, "_TOKEN") {
				t.Errorf("the answer names no variable: %s", a.raw)
			}
		}
		if a := do(t, http.MethodGet, url+path, ""); a.status != http.StatusOK {
			t.Errorf("%s from this machine: %d %s", path, a.status, a.raw)
		}
	}
}

func TestAPageOfAnotherSiteCanMakeABrowserDoNothing(t *testing.T) {
	url := serve(t, full())
	for _, path := range []string{"/v1/events", "/v1/parked/alice/retry"} {
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
			a := do(t, http.MethodPost, url+path, `{"by":"evil"}`, append(headers, "Content-Type", "application/json")...)
			wantProblem(t, a, http.StatusForbidden, "urn:safebox:problem:cross-origin")
		}
	}
}

func TestAnAnswerThatIsNotAcceptedIsNotGiven(t *testing.T) {
	url := serve(t, full())
	for accept, status := range map[string]int{
		"*/*": 200, "application/*": 200, "text/html, application/json;q=0.1": 200, "APPLICATION/JSON": 200,
		"text/html": 406, "application/json;q=0": 406, "application/json; q=0.000, */*": 406, "application/xml, text/*": 406,
	} {
		if a := do(t, http.MethodGet, url+"/v1/wallets/alice", "", "Accept", accept); a.status != status {
			t.Errorf("Accept %s: %d, want %d", accept, a.status, status)
		}
	}
}

// FuzzParameters holds paths and queries of any shape to a problem or an answer as described: nothing fails inside.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"alice", "%00", "..", "%2e%2e", "a%2Fb", "//", "%ff"} {
		f.Add(seed, "limit=5&after=1")
	}
	f.Add("alice", "limit=5;after=%zz&limit=+1")
	f.Add("alice", "after=99999999999999999999")
	o := full()
	o.Operations = nil
	h := api.New(o)
	f.Fuzz(func(t *testing.T, key, query string) {
		for _, path := range []string{"/v1/wallets/" + key + "/entries", "/v1/wallets/" + key, "/v1/events/" + key + "/" + key, "/v1/parked"} {
			status, body := plainly(t, h, path, query)
			if status >= 500 || status != http.StatusOK && !strings.Contains(body, `"title"`) && status != 0 {
				t.Errorf("%q?%q: %d %s", path, query, status, body)
			}
		}
	})
}
