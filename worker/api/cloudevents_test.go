package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/safebox/safebox/worker/event"
)

// sdkEvent is an event as CloudEvents' own SDK makes it.
func sdkEvent(t *testing.T, id string, amount int) cloudevents.Event {
	t.Helper()
	ev := cloudevents.NewEvent()
	ev.SetID(id)
	ev.SetSource("/till/7")
	ev.SetType(event.TypeFundsCredited)
	ev.SetSubject(npub)
	ev.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC))
	ev.SetExtension("hops", 7)
	if err := ev.SetData(cloudevents.ApplicationJSON, map[string]any{"amount": amount, "memo": "café"}); err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestTheClientOfCloudEventsSpeaksBinaryAndStructuredMode(t *testing.T) {
	m, o := &memory{}, full()
	o.Appender, o.IngestToken = m, "a-token"
	url := serve(t, o)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(url+"/v1/events"), cehttp.WithRoundTripper(transport), cehttp.WithHeader("Authorization", "Bearer a-token"))
	if err != nil {
		t.Fatal(err)
	}
	status := func(ev cloudevents.Event, mode string) int {
		t.Helper()
		ctx := cloudevents.WithEncodingBinary(t.Context())
		if mode == structured {
			ctx = cloudevents.WithEncodingStructured(t.Context())
		}
		var res *cehttp.Result
		result := client.Send(ctx, ev)
		if !cloudevents.ResultAs(result, &res) {
			t.Fatalf("%s: %v", mode, result)
		}
		if acked := cloudevents.IsACK(result); acked != (res.StatusCode < 300) {
			t.Errorf("the client thinks %v of %d", acked, res.StatusCode)
		}
		return res.StatusCode
	}
	// Each mode finds what the other one wrote to be the same event.
	for _, c := range []struct {
		mode, id     string
		amount, want int
	}{
		{"binary", "b", 5, http.StatusCreated},
		{structured, "b", 5, http.StatusOK},
		{structured, "s", 5, http.StatusCreated},
		{"binary", "s", 5, http.StatusOK},
		{"binary", "s", 6, http.StatusConflict},
		{"binary", "r", -1, http.StatusUnprocessableEntity},
		{structured, "r", -1, http.StatusUnprocessableEntity},
	} {
		if got := status(sdkEvent(t, c.id, c.amount), c.mode); got != c.want {
			t.Errorf("%s, id %s, amount %d: %d, want %d", c.mode, c.id, c.amount, got, c.want)
		}
	}
	if kept := m.events["/till/7 b"]; kept.Metadata["hops"] != "7" || string(kept.Data) != `{"amount":5,"memo":"café"}` || kept.Time.Nanosecond() != 6000 {
		t.Errorf("kept %+v with %s", kept, kept.Data)
	}
}

func TestTheClientOfCloudEventsSpeaksBatchedMode(t *testing.T) {
	m, o := &memory{}, full()
	o.Appender = m
	url := serve(t, o)
	req, err := cehttp.NewHTTPRequestFromEvents(t.Context(), url+"/v1/events", []cloudevents.Event{sdkEvent(t, "1", 5), sdkEvent(t, "1", 5), sdkEvent(t, "2", 0)})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Appended, Duplicates, Refused int }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Appended != 1 || got.Duplicates != 1 || got.Refused != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBinaryModeIsAsStrictAsTheCatalogue(t *testing.T) {
	obs, o := &tally{}, full()
	m := &memory{}
	o.Appender, o.Observer = m, obs
	url := serve(t, o)
	send := func(body string, change ...string) answer {
		headers := []string{
			"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/caf%C3%A9", "Ce-Type", event.TypeFundsCredited,
			"Ce-Subject", npub,
		}
		return do(t, http.MethodPost, url+"/v1/events", body, append(headers, change...)...)
	}
	if a := send(`{"amount":5}`); a.status != http.StatusCreated || a.body["source"] != "/café" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	for field, a := range map[string]answer{
		"data.amount": send(`{"amount":0}`), "source": send(`{"amount":5}`, "Ce-Source", "%C0%A0"), "subject": send(`{"amount":5}`, "Ce-Subject", ""),
		"datacontenttype": send(`{"amount":5}`, "Content-Type", "text/plain"), "data.nsec": send(`{"amount":5,"nsec":"hush"}`),
		"specversion": send(`{"amount":5}`, "Ce-Specversion", "0.3"), "trace-parent": send(`{"amount":5}`, "Ce-Trace-Parent", "x"),
	} {
		wantProblem(t, a, http.StatusUnprocessableEntity, "urn:safebox:problem:event-refused")
		if a.body["field"] != field || strings.Contains(a.raw, "hush") {
			t.Errorf("want the field %s: %s", field, a.raw)
		}
	}
	wantProblem(t, send(`{"amount":`), http.StatusBadRequest, "urn:safebox:problem:malformed-json")
	wantProblem(t, send(strings.Repeat(" ", event.MaxSize+1)), http.StatusRequestEntityTooLarge, "about:blank")
	wantProblem(t, send(`{}`, "Content-Type", "application/cloudevents+xml"), http.StatusUnsupportedMediaType, "about:blank")
	if n, _ := m.count(); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if obs.counts[event.TypeFundsCredited+" refused"] < 6 {
		t.Errorf("observed %v", obs.counts)
	}
}
