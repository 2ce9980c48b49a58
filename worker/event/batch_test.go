package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func TestDecodeBatchAnswersEveryElementAtItsIndex(t *testing.T) {
	elements := []string{
		credit("a"), `{"id":"b"}`, ` [] `, `"x"`, credit("a"), structured(event.TypeFundsCredited, `{"nsec":"n"}`, "id", `"c"`),
		`{"x":"` + strings.Repeat("x", event.MaxSize) + `"}`,
	}
	decoded, err := event.DecodeBatch([]byte("\n[" + strings.Join(elements, ",") + "]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ id, field, reason string }{
		{id: "a"},
		{"b", "specversion", "missing"},
		{"", "", "expected one JSON object"},
		{"", "", "expected one JSON object"},
		{id: "a"},
		{"c", "data.nsec", "a private key"},
		{"", "", "at most 65536"},
	}
	if len(decoded) != len(want) {
		t.Fatalf("%d answers, want %d", len(decoded), len(want))
	}
	for i, w := range want {
		d := decoded[i]
		if w.reason == "" {
			if d.Refusal != nil || d.Event.ID != w.id || string(d.Event.Data) != `{"amount":5}` {
				t.Errorf("element %d: %+v, want the event %s", i, d, w.id)
			}
			continue
		}
		if d.Refusal == nil || d.Refusal.ID != w.id || d.Refusal.Field != w.field || !strings.Contains(d.Refusal.Reason, w.reason) {
			t.Errorf("element %d: %v, want %+v", i, d.Refusal, w)
		}
	}
}

func TestAnEmptyBatchIsEmpty(t *testing.T) {
	decoded, err := event.DecodeBatch([]byte(" [ ] "))
	if err != nil || decoded == nil || len(decoded) != 0 {
		t.Errorf("DecodeBatch = %v, %v; want no answers", decoded, err)
	}
}

func TestDecodeBatchRefusesWhatIsNoArray(t *testing.T) {
	for name, input := range map[string]string{
		"nothing":                      "",
		"one event":                    credit("a"),
		"half an array":                "[" + credit("a"),
		"a comma too many":             "[" + credit("a") + ",]",
		"no comma":                     "[" + credit("a") + credit("b") + "]",
		"an array and more":            "[]]",
		"an element that is no JSON":   "[" + credit("a") + ",oops]",
		"an element that is no UTF-8":  "[\"\xff\"]",
		"an element nested endlessly":  strings.Repeat("[", 1<<20),
		"lines instead of an array":    credit("a") + "\n" + credit("b"),
		"an object closed by a square": "[{]",
	} {
		t.Run(name, func(t *testing.T) {
			decoded, err := event.DecodeBatch([]byte(input))
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || decoded != nil {
				t.Errorf("DecodeBatch = %v, %v; want a refusal of the whole", decoded, err)
			}
		})
	}
}

func TestDecodeBatchTakesALimitedNumberOfEvents(t *testing.T) {
	array := func(n int) []byte { return []byte("[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]") }
	if decoded, err := event.DecodeBatch(array(event.MaxBatch)); err != nil || len(decoded) != event.MaxBatch {
		t.Errorf("%d answers, %v; want %d", len(decoded), err, event.MaxBatch)
	}
	if _, err := event.DecodeBatch(array(event.MaxBatch + 1)); !errors.Is(err, event.ErrBatchTooLong) {
		t.Errorf("error = %v, want ErrBatchTooLong", err)
	}
}
