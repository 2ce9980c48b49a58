package event_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

func sample() event.Event {
	return event.Event{
		ID: `a "1"`, Source: "/tests", Type: event.TypeWalletAccessKeyRotated, Subject: exampleNpub,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 600000, time.UTC), Data: []byte(`{"access_key":"hush"}`),
		Metadata: map[string]string{"zone": "é", "dataschema": "https://example.test/s", "_watermill_message_uuid": "u", "id": "2"},
	}
}

func TestEncodeWritesAttributesInAFixedOrder(t *testing.T) {
	want := `{"specversion":"1.0","id":"a \"1\"","source":"/tests","type":"safebox.wallet.access_key_rotated.v1","subject":"` +
		exampleNpub + `","time":"2026-01-02T03:04:05.0006Z","dataschema":"https://example.test/s","zone":"é",` +
		`"datacontenttype":"application/json","data":{"access_key":"hush"}}`
	if diff := cmp.Diff(want, string(event.Encode(sample()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheCloudEventsSDKReadsWhatEncodeWrites(t *testing.T) {
	ev := sample()
	var ce cloudevent.Event
	if err := json.Unmarshal(event.Encode(ev), &ce); err != nil {
		t.Fatal(err)
	}
	if err := ce.Validate(); err != nil {
		t.Fatal(err)
	}
	got := event.Event{
		ID: ce.ID(), Source: ce.Source(), Type: ce.Type(), Subject: ce.Subject(), Time: ce.Time(), Data: ce.Data(),
		Metadata: map[string]string{"dataschema": ce.DataSchema(), "zone": ce.Extensions()["zone"].(string)},
	}
	ev.Metadata = got.Metadata
	if diff := cmp.Diff(ev, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEncodeRedactedMasksEverySecretAndNothingElse(t *testing.T) {
	masked := map[string]bool{}
	for _, info := range event.Catalogue() {
		members := map[string]any{}
		for _, m := range info.Members {
			switch {
			case m.Kind == event.KindNpub:
				members[m.Name] = exampleNpub
			case m.Kind == event.KindTimestamp:
				members[m.Name] = "2026-01-01T00:00:00.000000Z"
			case m.MaxBytes > 0:
				members[m.Name] = "V" + strings.ToUpper(strings.ReplaceAll(m.Name, "_", ""))[:4]
			default:
				members[m.Name] = 5
			}
		}
		data, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		redacted := event.EncodeRedacted(event.Event{ID: "1", Source: "s", Type: info.Type, Subject: "x", Data: data})
		var out struct{ Data map[string]any }
		if err := json.Unmarshal(redacted, &out); err != nil {
			t.Fatalf("%s: %v in %s", info.Type, err, redacted)
		}
		for _, m := range info.Members {
			if out.Data[m.Name] == "***" {
				masked[m.Name] = true
			} else if m.Secret || out.Data[m.Name] == nil {
				t.Errorf("%s.%s = %v", info.Type, m.Name, out.Data[m.Name])
			}
		}
	}
	want := map[string]bool{"access_key": true, "emergency_code": true, "nwc_secret": true}
	if diff := cmp.Diff(want, masked); diff != "" {
		t.Errorf("masked members (-want +got):\n%s", diff)
	}
}

func TestEncodeRedactedLeavesANullToBeSeen(t *testing.T) {
	ev := sample()
	ev.Data = []byte(`{"access_key":null}`)
	if got := event.EncodeRedacted(ev); !bytes.Contains(got, []byte(`"data":{"access_key":null}`)) {
		t.Errorf("a revocation shows as %s", got)
	}
}

func TestEncodeRedactedMasksDataThatItDoesNotUnderstand(t *testing.T) {
	for name, ev := range map[string]event.Event{
		"a type that is not in the catalogue": {Type: "foreign", Data: []byte(`{"access_key":"hush"}`)},
		"data that is not the type's":         {Type: event.TypeFundsCredited, Data: []byte(`{"access_key":"hush"}`)},
		"data that is no JSON":                {Type: event.TypeFundsCredited, Data: []byte("hush\xff")},
	} {
		t.Run(name, func(t *testing.T) {
			got := event.EncodeRedacted(ev)
			if !json.Valid(got) || bytes.Contains(got, []byte("hush")) || !bytes.Contains(got, []byte(`"data":"***"`)) {
				t.Errorf("EncodeRedacted = %s", got)
			}
		})
	}
}

func TestEncodeTakesAnyEventOfAnyTopic(t *testing.T) {
	for name, tc := range map[string]struct {
		ev   event.Event
		want string
	}{
		"no data":              {event.Event{ID: "1"}, `{"specversion":"1.0","id":"1","source":"","type":"","data_base64":""}`},
		"bytes":                {event.Event{ID: "1", Data: []byte{0xff, 0}}, `{"specversion":"1.0","id":"1","source":"","type":"","data_base64":"/wA="}`},
		"JSON without objects": {event.Event{ID: "1", Data: []byte(`5`)}, `{"specversion":"1.0","id":"1","source":"","type":"","datacontenttype":"application/json","data":5}`},
		"an id of bytes":       {event.Event{ID: "\xff\x00"}, `{"specversion":"1.0","id":"` + "\uFFFD" + `\u0000","source":"","type":"","data_base64":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, string(event.Encode(tc.ev))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
