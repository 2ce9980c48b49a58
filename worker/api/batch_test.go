package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

func TestABatchAnswersEachEventAtItsIndex(t *testing.T) {
	obs := &tally{}
	m := &memory{}
	url := serve(t, api.Options{Appender: m, Observer: obs})
	if a := post(t, url, batched, "["+credit("old", 1)+"]"); a.status != http.StatusOK || a.body["appended"] != 1.0 {
		t.Fatalf("first batch: %d %s", a.status, a.raw)
	}

	a := post(t, url, batched, "["+strings.Join([]string{
		credit("new", 1), credit("bad", 0), credit("old", 1), `"no object"`, credit("old", 2), credit("new", 1),
	}, ",")+"]")
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.raw)
	}
	for member, want := range map[string]float64{"appended": 1, "duplicates": 2, "conflicts": 1, "refused": 2} {
		if a.body[member] != want {
			t.Errorf("%s is %v, want %v", member, a.body[member], want)
		}
	}
	results := a.body["results"].([]any)
	for i, want := range []struct{ id, result string }{
		{"new", "appended"}, {"bad", "refused"}, {"old", "duplicate"}, {"", "refused"}, {"old", "conflict"}, {"new", "duplicate"},
	} {
		got := results[i].(map[string]any)
		if got["id"] != want.id || got["result"] != want.result {
			t.Errorf("result %d is %v, want %v", i, got, want)
		}
		if _, placed := got["position"]; placed != (want.result != "refused") {
			t.Errorf("result %d: position given: %v", i, placed)
		}
		if why, _ := got["reason"].(string); (why != "") != (want.result == "refused" || want.result == "conflict") {
			t.Errorf("result %d: reason %q", i, why)
		}
	}
	if got := results[1].(map[string]any)["field"]; got != "data.amount" {
		t.Errorf("field %v, want data.amount", got)
	}
	if n, calls := m.count(); n != 2 || calls != 2 {
		t.Errorf("%d events after %d appends, want 2 after 2", n, calls)
	}
	if obs.counts[event.TypeFundsCredited+" refused"] != 1 || obs.counts[" refused"] != 1 {
		t.Errorf("observed %v", obs.counts)
	}
}

func TestABatchWithNothingToAppendAsksNoDatabase(t *testing.T) {
	m := &memory{}
	url := serve(t, api.Options{Appender: m})
	a := post(t, url, batched, "[]")
	if a.status != http.StatusOK || !strings.Contains(a.raw, `"results":[]`) {
		t.Errorf("empty batch: %d %s", a.status, a.raw)
	}
	a = post(t, url, batched, "["+credit("bad", -1)+"]")
	if a.status != http.StatusOK || a.body["refused"] != 1.0 {
		t.Errorf("batch of one bad event: %d %s", a.status, a.raw)
	}
	if _, calls := m.count(); calls != 0 {
		t.Errorf("%d appends", calls)
	}
}

func TestABatchOfTheLargestNumberIsTaken(t *testing.T) {
	m := &memory{}
	url := serve(t, api.Options{Appender: m})
	events := make([]string, event.MaxBatch)
	for i := range events {
		events[i] = credit(fmt.Sprint(i), 1+i)
	}
	a := post(t, url, batched, "["+strings.Join(events, ",")+"]")
	if a.status != http.StatusOK || a.body["appended"] != float64(event.MaxBatch) {
		t.Fatalf("status %d, appended %v", a.status, a.body["appended"])
	}
	if n, calls := m.count(); n != event.MaxBatch || calls != 1 {
		t.Errorf("%d events after %d appends, want %d after 1", n, calls, event.MaxBatch)
	}
}

func TestOneHugeEventDoesNotHoldBackItsNeighbours(t *testing.T) {
	url := serve(t, api.Options{Appender: &memory{}})
	huge := strings.Replace(credit("huge", 1), `"amount":1`, `"amount":1,"memo":"`+strings.Repeat("m", 1<<20)+`"`, 1)
	a := post(t, url, batched, "["+credit("a", 1)+","+huge+","+credit("b", 1)+"]")
	if a.status != http.StatusOK || a.body["appended"] != 2.0 || a.body["refused"] != 1.0 {
		t.Errorf("status %d: %.300s", a.status, a.raw)
	}
}
