package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

// seeds are events of every shape that the decoder tells apart.
func seeds() []string {
	return []string{
		credit("a"),
		structured(event.TypeFundsDebited, `{"amount":5,"fee":0,"memo":"\u2615 <&>","reference":""}`),
		structured(event.TypeFundsTransferred, `{"to":"`+otherNpub+`","amount":5}`, "trace", `"t"`, "hops", `7`, "time", ""),
		structured(event.TypeWalletUpdated, `{"owner":null,"home_relay":"r"}`),
		structured(event.TypeWalletAccessKeyRotated, `{"access_key":"hush"}`, "dataschema", `"https://example.test/s"`),
		structured(event.TypeCurrencyQuoted, `{"rate":1e-7,"refreshed_at":"2026-01-02T03:04:05.6+01:00"}`, "subject", `"EUR"`),
		structured(event.TypeNonceUsed, `{"requester_pubkey":"r","flow":"f","nonce":"n","requester_ts":1}`, "subject", `"r"`),
		structured(event.TypeOfferOpened, `{"nonce":"n","nauth":"a","grant_kind":1,"offer_kind":2,"host":"h","label":null}`, "subject", `"n"`),
		structured(event.TypeFundsCredited, `{"amount":5,"nsec":"`+examplePrivate+`"}`),
		`{}`, `[]`, ``, `{"id":`, "\ufeff{}",
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		ev, err := event.Decode(input)
		if err != nil {
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || refusal.Reason == "" {
				t.Fatalf("the error is no refusal with a reason: %v", err)
			}
			if !utf8.ValidString(err.Error()) {
				t.Fatalf("the refusal is no text: %q", err)
			}
			return
		}
		if !json.Valid(input) {
			t.Fatalf("taken, but not JSON: %q", input)
		}
		if _, err := event.DecodePayload(ev.Type, ev.Data); err != nil {
			t.Fatalf("no payload from %s: %v", ev.Data, err)
		}
		encoded := event.Encode(ev)
		if len(encoded) > event.MaxSize {
			return // it was sent in fewer bytes than its full form has
		}
		back, err := event.Decode(encoded)
		if err != nil {
			t.Fatalf("%v: %s", err, encoded)
		}
		if diff := cmp.Diff(ev, back); diff != "" {
			t.Fatalf("Decode(Encode(e)) is not e:\n%s", diff)
		}
	})
}

// A batch answers each of its elements as if it had come alone.
func FuzzDecodeBatch(f *testing.F) {
	all := seeds()
	f.Add([]byte("[" + all[0] + "," + all[1] + "]"))
	f.Add([]byte(" [ {} , " + all[2] + ", 7 ] "))
	for _, seed := range all {
		f.Add([]byte("[" + seed + "]"))
	}
	f.Fuzz(func(t *testing.T, batch []byte) {
		decoded, err := event.DecodeBatch(batch)
		var elements []json.RawMessage
		if err != nil {
			var refusal *event.Refusal
			if !errors.As(err, &refusal) && !errors.Is(err, event.ErrBatchTooLong) {
				t.Fatalf("the error is no refusal: %v", err)
			}
			return
		}
		if err := json.Unmarshal(batch, &elements); err != nil || len(elements) != len(decoded) {
			t.Fatalf("%d answers to %d elements, %v", len(decoded), len(elements), err)
		}
		for i, d := range decoded {
			alone, err := event.Decode(elements[i])
			if (err == nil) != (d.Refusal == nil) || err == nil && !alone.SameContent(d.Event) {
				t.Fatalf("element %d: %v in the batch, %v alone", i, d.Refusal, err)
			}
		}
	})
}

func FuzzDecodePayload(f *testing.F) {
	for _, info := range event.Catalogue() {
		f.Add(info.Type, []byte(`{}`))
	}
	for _, seed := range seeds() {
		var ce struct {
			Type string
			Data json.RawMessage
		}
		if json.Unmarshal([]byte(seed), &ce) == nil {
			f.Add(ce.Type, []byte(ce.Data))
		}
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		payload, err := event.DecodePayload(typ, data)
		if (payload == nil) == (err == nil) {
			t.Fatalf("DecodePayload = %v, %v", payload, err)
		}
		if err == nil && !json.Valid(data) {
			t.Fatalf("taken, but not JSON: %q", data)
		}
		redacted := event.EncodeRedacted(event.Event{ID: "1", Source: "s", Type: typ, Data: data})
		if !json.Valid(redacted) {
			t.Fatalf("EncodeRedacted gives no JSON: %q", redacted)
		}
	})
}

func FuzzLineReader(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed + "\r\n\n" + seed))
	}
	f.Add([]byte("\ufeff\n" + credit("a") + "\noops"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		lines := event.NewLineReader(bytes.NewReader(stream))
		last, most := 0, bytes.Count(stream, []byte("\n"))+1
		for {
			line, _, err := lines.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			var bad *event.LineError
			if err != nil && !errors.As(err, &bad) {
				t.Fatalf("a stream without errors gives %v", err)
			}
			if line <= last || line > most {
				t.Fatalf("line %d follows line %d of at most %d", line, last, most)
			}
			last = line
		}
	})
}
