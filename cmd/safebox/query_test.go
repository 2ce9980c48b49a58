package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// surface is the HTTP of a worker as a test uses it: every answer is kept, to be looked through for secrets.
type surface struct {
	t       *testing.T
	at      string
	answers strings.Builder
}

// ask sends a request and keeps the answer.
func (s *surface) ask(method, path, kind, token, body string) (int, string) {
	s.t.Helper()
	status, answer := ask(s.t, method, s.at+path, kind, token, []byte(body))
	fmt.Fprintf(&s.answers, "%s %s: %d %s\n", method, path, status, answer)
	return status, answer
}

// fetch asks for a document and expects it.
func fetch[T any](s *surface, path, token string) (v T) {
	s.t.Helper()
	status, body := s.ask(http.MethodGet, path, "", token, "")
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		s.t.Fatalf("GET %s: %v: %s", path, err, body)
	}
	return v
}

func TestWorkerAnswersQuestionsOverHTTPAndTellsNoSecret(t *testing.T) {
	const in, admin = "hush-ingest", "hush-admin"
	const one, many, jsonType = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"
	alice, bob := event.EncodeNpub([32]byte{1}), event.EncodeNpub([32]byte{2})
	envelope := func(id, typ, subject, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","source":"/shop","id":%q,"type":"safebox.%s.v1","subject":%q,"data":%s}`, id, typ, subject, data)
	}
	register := func(id, npub, handle, key string) string {
		return envelope(id, "wallet.registered", npub, fmt.Sprintf(
			`{"npub":%q,"handle":%q,"home_relay":"wss://r","onboard_code":"spring","access_key":%q,"emergency_code":"hush-%s"}`, npub, handle, key, handle))
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		// The server asks for no password, and is given one all the same: it must not be seen.
		s := newSite(t, strings.Replace(url, "postgres@", "postgres:hush-database@", 1), secretKey, "SAFEBOX_INGEST_TOKEN="+in, "SAFEBOX_ADMIN_TOKEN="+admin)
		ps := s.workers(1)
		h := &surface{t: t, at: ps[0].address()}
		eventually(t, "the worker is ready", func() (bool, string) {
			status, body := ask(t, http.MethodGet, h.at+"/readyz", "", "", nil)
			return status == http.StatusOK, body
		})
		publish := func(body string, want int) {
			t.Helper()
			if status, answer := h.ask(http.MethodPost, "/v1/events", one, in, body); status != want {
				t.Errorf("%d %s, want %d", status, answer, want)
			}
		}
		publish(register("1", alice, "alice", "hush-key"), http.StatusCreated)
		publish(register("1", alice, "alice", "hush-other"), http.StatusConflict)
		eventually(t, "alice has the key", func() (bool, string) { // of two that ask for one key, the first to be processed gets it
			e := fetch[query.Event](h, "/v1/events/%2Fshop/1", in)
			return e.Outcome == "applied", e.Outcome
		})
		publish(register("2", bob, "bob", "hush-key"), http.StatusCreated) // to be rejected
		publish(envelope("3", "wallet.nwc_rotated", alice, `{"nwc_secret":"hush-nwc"}`), http.StatusCreated)
		publish(envelope("4", "wallet.nwc_rotated", alice, `{"nwc_secret":["hush-nwc"]}`), http.StatusUnprocessableEntity)
		publish(envelope("5", "wallet.access_key_rotated", alice, `{"access_key":"hush-rotated","other":1}`), http.StatusUnprocessableEntity)
		publish(`{"id":"hush`, http.StatusBadRequest)
		h.ask(http.MethodPost, "/v1/events", many, in, "["+register("1", alice, "alice", "hush-third")+","+envelope("6", "wallet.nwc_rotated", alice, `{"nwc_secret":"hush\u0001"}`)+"]")
		publish(envelope("7", "funds.credited", alice, `{"amount":21}`), http.StatusCreated)

		// A read after a commit is never older.
		for i := range 20 {
			id := fmt.Sprint("c", i)
			publish(envelope(id, "funds.credited", alice, `{"amount":1}`), http.StatusCreated)
			if e := fetch[query.Event](h, "/v1/events/%2Fshop/"+id, in); e.Outcome != "pending" && e.Outcome != "applied" {
				t.Fatalf("an event that was just taken is %s", e.Outcome)
			}
		}
		s.idle()

		// HTTP and the command line say the same.
		shown, _ := answer[[]query.Event](s, "event", "show", "3")
		if diff := cmp.Diff(shown[0], fetch[query.Event](h, "/v1/events/%2Fshop/3", admin), compact); diff != "" || shown[0].Outcome != "applied" {
			t.Errorf("event, command line (-) and HTTP (+):\n%s", diff)
		}
		if e := fetch[query.Event](h, "/v1/events/%2Fshop/2", in); e.Outcome != "rejected" || e.Reason != "access_key_taken" || !strings.Contains(string(e.Event), `"***"`) {
			t.Errorf("a rejected event: %+v", e)
		}
		wallet, _ := answer[ledger.Wallet](s, "wallet", "show", "alice")
		for _, key := range []string{"alice", alice} {
			if diff := cmp.Diff(wallet, fetch[ledger.Wallet](h, "/v1/wallets/"+key, in)); diff != "" || wallet.Balance != 41 {
				t.Errorf("wallet, command line (-) and HTTP (+):\n%s", diff)
			}
		}
		type page struct {
			Entries []ledger.Entry
			Next    *int64
		}
		history, _ := answer[[]ledger.Entry](s, "wallet", "history", "alice")
		var entries []ledger.Entry
		for p := fetch[page](h, "/v1/wallets/alice/entries?limit=9", in); ; p = fetch[page](h, fmt.Sprint("/v1/wallets/alice/entries?limit=9&after=", *p.Next), in) {
			if entries = append(entries, p.Entries...); p.Next == nil {
				break
			}
		}
		if diff := cmp.Diff(history, entries); diff != "" {
			t.Errorf("journal, command line (-) and HTTP (+):\n%s", diff)
		}
		if st := fetch[query.Status](h, "/v1/status", admin); !st.Ready || len(st.Workers) != 1 || st.Backlog != 0 || strings.HasPrefix(s.url, "postgres") != strings.Contains(st.Database, "***@") {
			t.Errorf("status: %+v", st)
		}
		moves := cmpopts.IgnoreFields(storage.Replica{}, "SeenAt")
		asker := cmpopts.IgnoreFields(query.Status{}, "Connections") // the command has one, too
		shownStatus, _ := answer[query.Status](s, "status")
		if diff := cmp.Diff(shownStatus, fetch[query.Status](h, "/v1/status", admin), moves, asker); diff != "" {
			t.Errorf("status, command line (-) and HTTP (+):\n%s", diff)
		}

		s.poison("bad", alice, `{"amount":5,"access_key":"hush-poison"}`)
		publish(envelope("8", "funds.credited", alice, `{"amount":2}`), http.StatusCreated) // behind the poison
		var parked query.ParkedList
		eventually(t, "both are parked", func() (bool, string) {
			parked = fetch[query.ParkedList](h, "/v1/parked?subject=alice", admin)
			return parked.Total == 2 && len(parked.Events) == 2, fmt.Sprintf("%+v", parked)
		})
		first := fetch[query.ParkedList](h, "/v1/parked?limit=1", admin)
		if first.Next == nil || len(first.Events) != 1 {
			t.Fatalf("the first page of what is parked: %+v", first)
		}
		rest := fetch[query.ParkedList](h, fmt.Sprint("/v1/parked?limit=1&after=", first.Next), admin)
		if diff := cmp.Diff(parked.Events, append(first.Events, rest.Events...)); diff != "" || rest.Next != nil {
			t.Errorf("what is parked, at once (-) and page by page (+), which ends with %v:\n%s", rest.Next, diff)
		}
		if parked.Wallets != 1 || len(parked.Events) != 2 || parked.Events[0].ID != "bad" {
			t.Errorf("parked: %+v", parked)
		}
		if e := fetch[query.Event](h, "/v1/events/%2Fpoison/bad", admin); e.Outcome != "parked" || e.Error == "" {
			t.Errorf("a parked event: %+v", e)
		}
		for _, c := range []struct {
			path, token, body string
			status            int
			says              string
		}{
			{"/v1/parked/alice/retry", in, `{"by":"carol"}`, http.StatusUnauthorized, ""},
			{"/v1/parked/alice/skip", admin, `{"by":"carol"}`, http.StatusUnprocessableEntity, `"reason"`},
			{"/v1/parked/alice/retry", admin, `{"by":"carol"}`, http.StatusOK, `"waiting":2`},
			{"/v1/parked/bob/retry", admin, `{"by":"carol"}`, http.StatusNotFound, "nothing-parked"},
			{"/v1/parked/" + alice + "/skip", admin, `{"by":"carol","reason":"poisoned for a test"}`, http.StatusOK, `"waiting":0`},
			{"/v1/parked/alice/skip", admin, `{"by":"carol","reason":"again"}`, http.StatusNotFound, "nothing-parked"},
		} {
			if status, body := h.ask(http.MethodPost, c.path, jsonType, c.token, c.body); status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%s %s: %d %s", c.path, c.body, status, body)
			}
		}
		e := fetch[query.Event](h, "/v1/events/%2Fpoison/bad", in)
		if e.Outcome != "rejected" || e.Reason != "skipped" || len(e.Actions) != 2 || e.Actions[0].Actor != "carol" || e.Actions[0].Reason != "poisoned for a test" {
			t.Errorf("a skipped event: %+v", e)
		}
		for _, path := range []string{
			"/", "/livez", "/readyz", "/metrics", "/openapi.json", "/v1/parked", "/v1/wallets/nobody", "/v1/events/%2Fshop/none", "/v1/wallets/alice/entries?limit=0", "/nowhere",
		} {
			for _, token := range []string{"", in, admin, "hush-wrong"} {
				h.ask(http.MethodGet, path, "", token, "")
			}
		}
		if all := h.answers.String(); strings.Contains(all, "hush") {
			for line := range strings.Lines(all) {
				if strings.Contains(line, "hush") {
					t.Errorf("a secret was told: %.600s", line)
				}
			}
		}
		if strings.Contains(ps[0].log.text(), "hush") {
			t.Error("a secret is in the log")
		}
		if audit, _ := answer[ledger.Audit](s, "audit"); !audit.OK {
			t.Errorf("audit: %+v", audit)
		}
		ps[0].signal(syscall.SIGTERM)
		if code := ps[0].wait(); code != 0 {
			t.Errorf("exit %d after SIGTERM", code)
		}
	})
}

// compact compares JSON texts by what they say.
var compact = cmp.Transformer("compact", func(raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return string(raw)
	}
	return fmt.Sprint(v)
})
