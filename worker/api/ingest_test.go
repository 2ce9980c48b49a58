package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

func TestASingleEventIsAnsweredByWhatBecameOfIt(t *testing.T) {
	m := &memory{}
	url := serve(t, api.Options{Appender: m})

	a := post(t, url, structured, credit("1", 5))
	partition := float64(event.Partition(npub))
	if a.status != http.StatusCreated || a.body["result"] != "appended" || a.body["partition"] != partition ||
		a.body["position"] != 1.0 || a.body["id"] != "1" || a.body["source"] != "/test" {
		t.Errorf("new event: %d %s", a.status, a.raw)
	}
	a = post(t, url, structured, credit("1", 5))
	if a.status != http.StatusOK || a.body["result"] != "duplicate" || a.body["position"] != 1.0 {
		t.Errorf("same event again: %d %s", a.status, a.raw)
	}
	a = post(t, url, structured, credit("1", 6))
	wantProblem(t, a, http.StatusConflict, "urn:safebox:problem:event-conflict")
	if a.body["id"] != "1" || a.body["source"] != "/test" || a.body["position"] != 1.0 || a.body["partition"] != partition {
		t.Errorf("conflict: %s", a.raw)
	}
	if n, _ := m.count(); n != 1 {
		t.Errorf("%d events in the log, want 1", n)
	}
}

func TestPartitionAndPositionZeroAreShown(t *testing.T) {
	url := serve(t, api.Options{Appender: fixed{Result: event.Conflict}})
	a := post(t, url, structured, credit("1", 5))
	if a.body["partition"] != 0.0 || a.body["position"] != 0.0 {
		t.Errorf("conflict at partition 0: %s", a.raw)
	}
}

// fixed answers every event with one receipt.
type fixed event.Receipt

func (f fixed) Append(_ context.Context, _ string, events []event.Event) ([]event.Receipt, error) {
	receipts := make([]event.Receipt, len(events))
	for i := range receipts {
		receipts[i] = event.Receipt(f)
	}
	return receipts, nil
}

func TestARefusedEventNamesItsFieldAndReason(t *testing.T) {
	obs := &tally{}
	m := &memory{}
	url := serve(t, api.Options{Appender: m, Observer: obs})

	a := post(t, url, structured, credit("7", -1))
	wantProblem(t, a, http.StatusUnprocessableEntity, "urn:safebox:problem:event-refused")
	if a.body["field"] != "data.amount" || a.body["reason"] == nil || a.body["id"] != "7" || a.body["source"] != "/test" {
		t.Errorf("refused: %s", a.raw)
	}
	wantProblem(t, post(t, url, structured, `{"type":"weather.changed"}`), http.StatusUnprocessableEntity, "urn:safebox:problem:event-refused")
	wantProblem(t, post(t, url, structured, `[]`), http.StatusUnprocessableEntity, "urn:safebox:problem:event-refused")

	if _, calls := m.count(); calls != 0 {
		t.Errorf("the appender was called %d times for refused events", calls)
	}
	if obs.counts[event.TypeFundsCredited+" refused"] != 1 || obs.counts["weather.changed refused"] != 1 || obs.counts[" refused"] != 1 {
		t.Errorf("observed %v", obs.counts)
	}
}

func TestBrokenJSONIsABadRequest(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}})
	for _, body := range []string{"", "   ", "{", `{"id":}`, "nonsense", `{"id":"1"} trailing`, "\x00\xff"} {
		wantProblem(t, post(t, url, structured, body), http.StatusBadRequest, "urn:safebox:problem:malformed-json")
	}
	for _, body := range []string{"", "[", "[{]", `{"id":"1"}`, "[] []", "[1,]"} {
		wantProblem(t, post(t, url, batched, body), http.StatusBadRequest, "urn:safebox:problem:malformed-json")
	}
}

func TestOtherContentTypesAreNotTaken(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}})
	for name, headers := range map[string][]string{
		"no content type":        {},
		"another content type":   {"Content-Type", "text/plain"},
		"plain JSON":             {"Content-Type", "application/json"},
		"a malformed type":       {"Content-Type", "application/cloudevents+json; charset"},
		"another charset":        {"Content-Type", structured + "; charset=latin1"},
		"a form of XML":          {"Content-Type", "application/cloudevents+xml"},
		"a very long media type": {"Content-Type", strings.Repeat("x", 3000)},
	} {
		t.Run(name, func(t *testing.T) {
			a := do(t, http.MethodPost, url+"/v1/events", credit("1", 1), headers...)
			wantProblem(t, a, http.StatusUnsupportedMediaType, "about:blank")
			for _, accepted := range []string{structured, batched} {
				if !strings.Contains(a.body["detail"].(string), accepted) || !strings.Contains(a.header.Get("Accept"), accepted) {
					t.Errorf("%s is not named: %s", accepted, a.raw)
				}
			}
			if len(a.raw) > 1000 {
				t.Errorf("the answer repeats %d bytes", len(a.raw))
			}
		})
	}
	for i, accepted := range []string{structured + "; charset=utf-8", structured + ";charset=UTF-8", "Application/CloudEvents+JSON"} {
		if a := post(t, url, accepted, credit(fmt.Sprint("ok", i), 1)); a.status != http.StatusCreated {
			t.Errorf("%s: %d %s", accepted, a.status, a.raw)
		}
	}
}

func TestABodyOverItsLimitIsTooLarge(t *testing.T) {
	m := &memory{}
	url := serve(t, api.Options{Appender: m})
	big := func(n int) string {
		e := credit("big", 1)
		return strings.Replace(e, `"amount":1`, `"amount":1,"memo":"`+strings.Repeat("m", n)+`"`, 1)
	}
	many := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]"
	}
	for name, c := range map[string]struct{ contentType, body string }{
		"an event one byte over 64 KiB":            {structured, credit("x", 1)[:1] + strings.Repeat(" ", event.MaxSize) + credit("x", 1)[1:]},
		"an event of 1 MB":                         {structured, big(1 << 20)},
		"a batch of 10,001 events":                 {batched, many(event.MaxBatch + 1)},
		"a batch of more than 16 MiB":              {batched, "[" + strings.Repeat(" ", 16<<20) + "]"},
		"an event behind more than 1 KiB of space": {structured, strings.Repeat(" ", event.MaxSize+1025)},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, post(t, url, c.contentType, c.body), http.StatusRequestEntityTooLarge, "about:blank")
		})
	}
	t.Run("an event of 1 MB whose length is not announced", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/events", onlyReader{strings.NewReader(big(1 << 20))})
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", structured)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", res.StatusCode)
		}
	})
	if a := post(t, url, structured, credit("x", 1)+"\n\n"); a.status != http.StatusCreated {
		t.Errorf("an event with a newline behind it: %d %s", a.status, a.raw)
	}
	if n, _ := m.count(); n != 1 {
		t.Errorf("%d events in the log, want 1", n)
	}
}

// onlyReader hides the length of what it reads.
type onlyReader struct{ r *strings.Reader }

func (o onlyReader) Read(b []byte) (int, error) { return o.r.Read(b) }

func TestTroubleWithTheDatabaseIsToldApartFromABug(t *testing.T) {
	const inside = "connection to 10.1.2.3 refused"
	for name, c := range map[string]struct {
		err    error
		status int
		typ    string
	}{
		"a lost connection": {
			&storage.Error{Statement: "append", Class: storage.Connection, Err: errors.New(inside)},
			http.StatusServiceUnavailable, "urn:safebox:problem:try-again",
		},
		"an exhausted pool": {
			fmt.Errorf("append: %w (%s)", &storage.PoolTimeoutError{InUse: 30, Max: 30, Waited: 30 * time.Second}, inside),
			http.StatusServiceUnavailable, "urn:safebox:problem:try-again",
		},
		"an unreachable database": {
			fmt.Errorf("%w: %s", storage.ErrUnreachable, inside),
			http.StatusServiceUnavailable, "urn:safebox:problem:try-again",
		},
		"a broken constraint": {
			&storage.Error{Statement: "append", Class: storage.Check, Err: errors.New(inside)},
			http.StatusInternalServerError, "about:blank",
		},
		"an unknown error": {errors.New(inside), http.StatusInternalServerError, "about:blank"},
	} {
		t.Run(name, func(t *testing.T) {
			var out logs
			url := serve(t, api.Options{Appender: &memory{fail: func(context.Context) error { return c.err }}, Logger: out.logger()})
			for contentType, body := range map[string]string{structured: credit("1", 1), batched: "[" + credit("1", 1) + "]"} {
				a := post(t, url, contentType, body)
				wantProblem(t, a, c.status, c.typ)
				if retry := a.header.Get("Retry-After"); (retry != "") != (c.status == http.StatusServiceUnavailable) {
					t.Errorf("Retry-After %q", retry)
				}
				if strings.Contains(a.raw, "10.1.2.3") {
					t.Errorf("the answer tells what is inside: %s", a.raw)
				}
			}
			if !strings.Contains(out.String(), inside) {
				t.Errorf("the log does not tell what went wrong: %s", out.String())
			}
		})
	}
}

func TestAnAppenderThatAnswersTooFewIsABug(t *testing.T) {
	url := serve(t, api.Options{Appender: short{}})
	wantProblem(t, post(t, url, structured, credit("1", 1)), http.StatusInternalServerError, "about:blank")
}

type short struct{}

func (short) Append(context.Context, string, []event.Event) ([]event.Receipt, error) { return nil, nil }

func TestAPanicIsAnsweredAndLeavesTheServerAlive(t *testing.T) {
	var out logs
	m := &memory{fail: func(context.Context) error { panic("boom") }}
	url := serve(t, api.Options{Appender: m, Logger: out.logger()})
	wantProblem(t, post(t, url, structured, credit("1", 1)), http.StatusInternalServerError, "about:blank")
	if !strings.Contains(out.String(), "boom") {
		t.Error("the panic is not in the log")
	}
	if a := do(t, http.MethodGet, url+"/livez", ""); a.status != http.StatusOK {
		t.Errorf("livez after the panic: %d", a.status)
	}
}

func TestADatabaseThatIsDownDoesNotFillTheLog(t *testing.T) {
	var out logs
	m := &memory{fail: func(context.Context) error { return storage.ErrUnreachable }}
	url := serve(t, api.Options{Appender: m, Logger: out.logger()})
	start := time.Now()
	for range 50 {
		post(t, url, structured, credit("1", 1))
	}
	lines := strings.Count(out.String(), "append failed")
	if most := int(time.Since(start)/time.Second) + 1; lines < 1 || lines > most {
		t.Errorf("%d lines, want 1 to %d", lines, most)
	}
}
