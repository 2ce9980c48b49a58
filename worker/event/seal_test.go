package event_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/event"
)

const exampleKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func parsedKeyring(tb testing.TB, text string) *event.Keyring {
	tb.Helper()
	k, err := event.ParseKeyring(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func rotation() event.Event {
	ev := sample()
	ev.Metadata = nil
	return ev
}

// The form of what is sealed is for ever: this was computed once and must stay readable, and the same.
func TestASecretIsSealedToTheSameBytesForEver(t *testing.T) {
	const want = `{"access_key":{"sealed":"v1.77138eeb.YOVrAwG_Lgimwn4HplhydExXHjnS0bAlCtXysqrWh_U"}}`
	k := parsedKeyring(t, exampleKey)
	ev, refusal := k.Seal(event.Topic, rotation())
	if refusal != nil || string(ev.Data) != want {
		t.Errorf("sealed to\n%s, %v; want\n%s", ev.Data, refusal, want)
	}
	ev.Data = []byte(want)
	if open, err := k.Open(event.Topic, ev); err != nil || string(open.Data) != `{"access_key":"hush"}` {
		t.Errorf("Open = %s, %v", open.Data, err)
	}
}

func TestWhatIsSealedOpensInItsOwnPlaceAlone(t *testing.T) {
	k := parsedKeyring(t, exampleKey)
	sealed, refusal := k.Seal(event.Topic, rotation())
	if refusal != nil {
		t.Fatal(refusal)
	}
	for name, change := range map[string]func(*event.Event){
		"another id":       func(e *event.Event) { e.ID += "2" },
		"another source":   func(e *event.Event) { e.Source += "2" },
		"another subject":  func(e *event.Event) { e.Subject = otherNpub },
		"a letter between": func(e *event.Event) { e.Source, e.ID = e.Source+e.ID[:1], e.ID[1:] },
		"another type and field": func(e *event.Event) {
			e.Type, e.Data = event.TypeWalletNWCRotated, []byte(strings.Replace(string(e.Data), "access_key", "nwc_secret", 1))
		},
		"a changed byte": func(e *event.Event) {
			e.Data = []byte(strings.Replace(string(e.Data), `"}}`, `A"}}`, 1))
		},
		"a nonce alone": func(e *event.Event) {
			e.Data = []byte(`{"access_key":{"sealed":"v1.` + k.IDs()[0] + `.AAAAAAAAAAAAAAAA"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			moved := sealed
			change(&moved)
			open, err := k.Open(event.Topic, moved)
			var closed *event.SealedError
			if !errors.As(err, &closed) || !closed.Known || string(open.Data) != string(moved.Data) {
				t.Errorf("Open = %s, %v", open.Data, err)
			}
		})
	}
	// Neither the time nor the metadata is content, and another key is not at hand.
	later := sealed
	later.Time, later.Metadata = later.Time.AddDate(1, 0, 0), map[string]string{"a": "b"}
	if open, err := k.Open(event.Topic, later); err != nil || string(open.Data) != `{"access_key":"hush"}` {
		t.Errorf("Open = %s, %v", open.Data, err)
	}
	var closed *event.SealedError
	var none *event.Keyring
	if _, err := none.Open(event.Topic, sealed); !errors.As(err, &closed) || closed.Known || closed.Key != k.IDs()[0] || closed.Field != "data.access_key" {
		t.Errorf("Open without a key: %v", err)
	}
	if _, err := event.DecodePayload(sealed.Type, sealed.Data); !errors.As(err, &closed) {
		t.Errorf("DecodePayload of what is sealed: %v", err)
	}
	if shown := string(event.EncodeRedacted(sealed)); !strings.Contains(shown, `{"access_key":"***"}`) {
		t.Errorf("it shows as %s", shown)
	}
}

func TestASealedMemberDoesNotPassTheDoor(t *testing.T) {
	sealed, _ := parsedKeyring(t, exampleKey).Seal(event.Topic, rotation())
	if r := refusalOf(t, string(event.Encode(sealed))); r.Field != "data.access_key" || !strings.Contains(r.Reason, "an object") {
		t.Errorf("refused %v", r)
	}
	// A string of that form is a string.
	text := rotation()
	text.Data = []byte(`{"access_key":"{\"sealed\":\"v1.00000000.AAAA\"}"}`)
	again, refusal := parsedKeyring(t, exampleKey).Seal(event.Topic, text)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if open, err := parsedKeyring(t, exampleKey).Open(event.Topic, again); err != nil || string(open.Data) != string(text.Data) {
		t.Errorf("Open = %s, %v", open.Data, err)
	}
}

// keyForms are keys as operators write them, and whether they are any.
func keyForms() map[string]bool {
	raw, _ := hex.DecodeString(exampleKey)
	other := append([]byte{0xff, 0xfe}, raw[2:]...)
	return map[string]bool{
		exampleKey: true, strings.ToUpper(exampleKey): true, " " + exampleKey + "\n": true, "": true,
		base64.StdEncoding.EncodeToString(raw):                      true,
		base64.RawURLEncoding.EncodeToString(other):                 true,
		base64.URLEncoding.EncodeToString(other) + "," + exampleKey: true,
		exampleKey + ", " + base64.StdEncoding.EncodeToString(raw):  false, // twice
		exampleKey[2:]:                                  false,
		exampleKey + "20":                               false,
		"correct horse battery staple":                  false,
		strings.Repeat("00", 32):                        false, // no key, a placeholder
		strings.Repeat("A", 43) + "=":                   false,
		exampleKey + ",":                                false,
		strings.Repeat(exampleKey+",", 64) + exampleKey: false,
	}
}

func TestKeysAreReadInHexAndBase64(t *testing.T) {
	for text, good := range keyForms() {
		k, err := event.ParseKeyring(text)
		if (err == nil) != good || good && k.Empty() != (text == "") {
			t.Errorf("ParseKeyring(%q) = %v, %v", text, k, err)
		}
		for _, shown := range []string{fmt.Sprint(err), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
			if len(text) > 30 && strings.Contains(strings.ToLower(shown), strings.ToLower(text[:30])) {
				t.Errorf("it shows the key: %s", shown)
			}
		}
	}
}

func FuzzParseKeyring(f *testing.F) {
	for text := range keyForms() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := event.ParseKeyring(text)
		if err != nil {
			if len(text) >= 16 && strings.Contains(err.Error(), text) {
				t.Fatalf("the error repeats the keys: %v", err)
			}
			return
		}
		if k.Empty() {
			return
		}
		sealed, refusal := k.Seal(event.Topic, rotation())
		if refusal != nil {
			t.Fatal(refusal)
		}
		if open, err := k.Open(event.Topic, sealed); err != nil || string(open.Data) != `{"access_key":"hush"}` {
			t.Fatalf("Open = %s, %v", open.Data, err)
		}
	})
}

// Whatever a record holds, opening it opens what was sealed for it, or leaves it as it is.
func FuzzOpen(f *testing.F) {
	k, err := event.ParseKeyring(exampleKey)
	if err != nil {
		f.Fatal(err)
	}
	sealed, _ := k.Seal(event.Topic, rotation())
	for _, data := range []string{string(sealed.Data), `{"access_key":null}`, `{"access_key":"x"}`, `{"access_key":{"sealed":"v1.00000000.AAAA"}}`, `{`, ``} {
		f.Add(event.TypeWalletAccessKeyRotated, []byte(data))
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		ev := rotation()
		ev.Type, ev.Data = typ, data
		open, err := k.Open(event.Topic, ev)
		if err != nil && string(open.Data) != string(data) {
			t.Fatalf("%v, and yet it is %q", err, open.Data)
		}
		if strings.Contains(string(open.Data), "hush") && !strings.Contains(string(data), "hush") && typ != sealed.Type {
			t.Fatalf("opened for another type: %q", data)
		}
	})
}

// What has no secret costs nothing to seal and to open: both run over every event of an append and of a batch.
func BenchmarkSealWithoutSecrets(b *testing.B) {
	k := parsedKeyring(b, exampleKey)
	ev, err := event.Decode([]byte(credit("a")))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sealed, _ := k.Seal(event.Topic, ev)
		if _, err := k.Open(event.Topic, sealed); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkSealASecret(b *testing.B) {
	k := parsedKeyring(b, exampleKey)
	b.ReportAllocs()
	for b.Loop() {
		sealed, _ := k.Seal(event.Topic, rotation())
		if _, err := k.Open(event.Topic, sealed); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
