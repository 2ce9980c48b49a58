package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

// otherNpub is the npub of 32 zero bytes but the last, which is 1.
var otherNpub = event.EncodeNpub([32]byte{31: 1})

// structured returns an event of exampleNpub, unless the attributes say otherwise; "" leaves an attribute out.
func structured(typ, data string, attributes ...string) string {
	parts := map[string]string{
		"specversion": `"1.0"`, "id": `"1"`, "source": `"/tests"`, "type": quote(typ), "subject": quote(exampleNpub),
		"time": `"2026-01-02T03:04:05Z"`, "data": data,
	}
	order := []string{"specversion", "id", "source", "type", "subject", "time", "data"}
	for i := 0; i < len(attributes); i += 2 {
		if _, known := parts[attributes[i]]; !known {
			order = append(order, attributes[i])
		}
		parts[attributes[i]] = attributes[i+1]
	}
	var members []string
	for _, name := range order {
		if parts[name] != "" {
			members = append(members, quote(name)+":"+parts[name])
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func pointer(s string) *string { return &s }

// refusalOf decodes and expects a refusal.
func refusalOf(t *testing.T, input string) *event.Refusal {
	t.Helper()
	ev, err := event.Decode([]byte(input))
	var refusal *event.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("Decode = %+v, %v; want a refusal", ev, err)
	}
	if diff := cmp.Diff(event.Event{}, ev); diff != "" {
		t.Errorf("a refused event is returned all the same: %s", diff)
	}
	return refusal
}

func TestEveryTypeHasOneCanonicalFormAndOnePayload(t *testing.T) {
	for _, tc := range []struct {
		name, typ, subject, data, canonical string
		payload                             event.Payload
	}{
		{
			"a wallet is registered with all it can have", event.TypeWalletRegistered, exampleNpub,
			`{"currency_code":"SAT","emergency_code":"e","owner":"o","custom_handle":"c","access_key":"k",
			  "onboard_code":"code","home_relay":"wss://r","handle":"h","npub":"` + exampleNpub + `"}`,
			`{"npub":"` + exampleNpub + `","handle":"h","home_relay":"wss://r","onboard_code":"code","access_key":"k",` +
				`"custom_handle":"c","owner":"o","emergency_code":"e","currency_code":"SAT"}`,
			event.WalletRegistered{
				Npub: exampleNpub, Handle: "h", HomeRelay: "wss://r", OnboardCode: "code", AccessKey: pointer("k"),
				CustomHandle: pointer("c"), Owner: pointer("o"), EmergencyCode: pointer("e"), CurrencyCode: pointer("SAT"),
			},
		},
		{
			"a wallet is registered with nulls for what it has not", event.TypeWalletRegistered, exampleNpub,
			`{"npub":"` + exampleNpub + `","handle":"h","home_relay":"r","onboard_code":"o","access_key":null,
			  "custom_handle":null,"owner":null,"emergency_code":null,"currency_code":null}`,
			`{"npub":"` + exampleNpub + `","handle":"h","home_relay":"r","onboard_code":"o"}`,
			event.WalletRegistered{Npub: exampleNpub, Handle: "h", HomeRelay: "r", OnboardCode: "o"},
		},
		{
			"a wallet is updated whole", event.TypeWalletUpdated, exampleNpub,
			`{"currency_code":"EUR","home_relay":"r","owner":"o","custom_handle":"c"}`,
			`{"custom_handle":"c","owner":"o","home_relay":"r","currency_code":"EUR"}`,
			event.WalletUpdated{
				CustomHandle: event.Nullable{Set: true, Value: pointer("c")}, Owner: event.Nullable{Set: true, Value: pointer("o")},
				HomeRelay: pointer("r"), CurrencyCode: event.Nullable{Set: true, Value: pointer("EUR")},
			},
		},
		{
			"null clears what a wallet may lack", event.TypeWalletUpdated, exampleNpub,
			`{"owner":null,"custom_handle":null,"currency_code":null}`,
			`{"custom_handle":null,"owner":null,"currency_code":null}`,
			event.WalletUpdated{
				CustomHandle: event.Nullable{Set: true}, Owner: event.Nullable{Set: true}, CurrencyCode: event.Nullable{Set: true},
			},
		},
		{
			"one member is enough for an update", event.TypeWalletUpdated, exampleNpub,
			`{"home_relay":"r"}`, `{"home_relay":"r"}`,
			event.WalletUpdated{HomeRelay: pointer("r")},
		},
		{
			"an access key is replaced", event.TypeWalletAccessKeyRotated, exampleNpub,
			`{"access_key":"k"}`, `{"access_key":"k"}`,
			event.WalletAccessKeyRotated{AccessKey: pointer("k")},
		},
		{
			"an access key is revoked", event.TypeWalletAccessKeyRotated, exampleNpub,
			`{"access_key":null}`, `{"access_key":null}`,
			event.WalletAccessKeyRotated{},
		},
		{
			"the connect secret is replaced", event.TypeWalletNWCRotated, exampleNpub,
			`{"nwc_secret":"s"}`, `{"nwc_secret":"s"}`,
			event.WalletNWCRotated{NWCSecret: "s"},
		},
		{
			"funds are credited, and text keeps its characters", event.TypeFundsCredited, exampleNpub,
			`{"reference":"r/1","memo":"<b>&\u2615 \"\\\n\u001f ` + "\u2028" + `\ud83d\ude00","amount":1}`,
			`{"amount":1,"memo":"<b>&☕ \"\\\n\u001f ` + "\u2028" + `😀","reference":"r/1"}`,
			event.FundsCredited{Amount: 1, Memo: "<b>&☕ \"\\\n\x1f \u2028😀", Reference: "r/1"},
		},
		{
			"empty notes are no notes", event.TypeFundsCredited, exampleNpub,
			`{"amount":9007199254740991,"memo":"","reference":""}`, `{"amount":9007199254740991}`,
			event.FundsCredited{Amount: event.MaxAmount},
		},
		{
			"a fee of nothing is no fee", event.TypeFundsDebited, exampleNpub,
			` { "fee" : 0 , "amount" : 5 } `, `{"amount":5}`,
			event.FundsDebited{Amount: 5},
		},
		{
			"a name may be written with escapes", event.TypeFundsDebited, exampleNpub,
			`{"f\u0065e":7,"amount":5,"memo":"m","reference":"r"}`, `{"amount":5,"fee":7,"memo":"m","reference":"r"}`,
			event.FundsDebited{Amount: 5, Fee: 7, Memo: "m", Reference: "r"},
		},
		{
			"funds are transferred", event.TypeFundsTransferred, exampleNpub,
			`{"memo":"m","fee":9007199254740991,"amount":2,"to":"` + otherNpub + `"}`,
			`{"to":"` + otherNpub + `","amount":2,"fee":9007199254740991,"memo":"m"}`,
			event.FundsTransferred{To: otherNpub, Amount: 2, Fee: event.MaxAmount, Memo: "m"},
		},
		{
			"a transfer to oneself is left to the ledger", event.TypeFundsTransferred, exampleNpub,
			`{"to":"` + exampleNpub + `","amount":2}`, `{"to":"` + exampleNpub + `","amount":2}`,
			event.FundsTransferred{To: exampleNpub, Amount: 2},
		},
		{
			"a quote is created", event.TypeQuoteCreated, exampleNpub,
			`{"mint":"https://m","quote":"q","amount":3}`, `{"quote":"q","amount":3,"mint":"https://m"}`,
			event.QuoteCreated{Quote: "q", Amount: 3, Mint: "https://m"},
		},
		{
			"a quote is paid", event.TypeQuotePaid, exampleNpub, `{"quote":"q"}`, `{"quote":"q"}`, event.QuotePaid{Quote: "q"},
		},
		{
			"a connect event is received", event.TypeNWCReceived, exampleNpub,
			`{"event_id":"e"}`, `{"event_id":"e"}`,
			event.NWCReceived{EventID: "e"},
		},
		{
			"a nonce is used", event.TypeNonceUsed, "any key",
			`{"requester_ts":0,"nonce":"n","flow":"f","requester_pubkey":"any key"}`,
			`{"requester_pubkey":"any key","flow":"f","nonce":"n","requester_ts":0}`,
			event.NonceUsed{RequesterPubkey: "any key", Flow: "f", Nonce: "n"},
		},
		{
			"an offer is opened", event.TypeOfferOpened, "n",
			`{"label":"l","host":"h","offer_kind":0,"grant_kind":2147483647,"nauth":"a","nonce":"n"}`,
			`{"nonce":"n","nauth":"a","grant_kind":2147483647,"offer_kind":0,"host":"h","label":"l"}`,
			event.OfferOpened{Nonce: "n", Nauth: "a", GrantKind: 1<<31 - 1, Host: "h", Label: pointer("l")},
		},
		{
			"an offer has no label", event.TypeOfferOpened, "n",
			`{"nonce":"n","nauth":"a","grant_kind":1,"offer_kind":2,"host":"h","label":null}`,
			`{"nonce":"n","nauth":"a","grant_kind":1,"offer_kind":2,"host":"h"}`,
			event.OfferOpened{Nonce: "n", Nauth: "a", GrantKind: 1, OfferKind: 2, Host: "h"},
		},
		{
			"a currency is quoted", event.TypeCurrencyQuoted, "EUR",
			`{"refreshed_at":"2026-01-02T04:04:05.1234569+01:00","rate":9.50e4}`,
			`{"rate":95000,"refreshed_at":"2026-01-02T03:04:05.123456Z"}`,
			event.CurrencyQuoted{Rate: 95000, RefreshedAt: time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC)},
		},
		{
			"a rate may be tiny", event.TypeCurrencyQuoted, "X1",
			`{"rate":0.00000001,"refreshed_at":"1970-01-01t00:00:00z"}`,
			`{"rate":1e-08,"refreshed_at":"1970-01-01T00:00:00.000000Z"}`,
			event.CurrencyQuoted{Rate: 1e-8, RefreshedAt: time.Unix(0, 0).UTC()},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev, err := event.Decode([]byte(structured(tc.typ, tc.data, "subject", quote(tc.subject))))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(ev.Data); got != tc.canonical {
				t.Errorf("data\n got %s\nwant %s", got, tc.canonical)
			}
			for form, data := range map[string]string{"as sent": tc.data, "canonical": tc.canonical} {
				payload, err := event.DecodePayload(tc.typ, []byte(data))
				if err != nil {
					t.Fatalf("payload of the data %s: %v", form, err)
				}
				if diff := cmp.Diff(tc.payload, payload); diff != "" {
					t.Errorf("payload of the data %s (-want +got):\n%s", form, diff)
				}
			}
		})
	}
}

func TestDecodeKeepsTheEnvelope(t *testing.T) {
	input := structured(event.TypeFundsCredited, `{"amount":5}`,
		"id", `"  ünique\/1 "`, "source", `"https://example.test/a?b=%20#c"`, "time", `"2026-01-02T03:04:05.9999999-05:00"`,
		"datacontenttype", `"application/vnd.safebox+json; charset=utf-8"`, "dataschema", `"https://example.test/schema"`,
		"traceparent", `"00-1"`, "sampled", `true`, "hops", `-7`, "nothing", `null`)
	ev, err := event.Decode([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	want := event.Event{
		ID: "  ünique/1 ", Source: "https://example.test/a?b=%20#c", Type: event.TypeFundsCredited, Subject: exampleNpub,
		Time: time.Date(2026, 1, 2, 8, 4, 5, 999999000, time.UTC), Data: []byte(`{"amount":5}`),
		Metadata: map[string]string{
			"dataschema": "https://example.test/schema", "traceparent": "00-1", "sampled": "true", "hops": "-7",
		},
	}
	if diff := cmp.Diff(want, ev); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnEventWithoutATimeGetsThePresentOne(t *testing.T) {
	for name, value := range map[string]string{"absent": "", "null": "null"} {
		t.Run(name, func(t *testing.T) {
			before := time.Now().Truncate(time.Microsecond)
			ev, err := event.Decode([]byte(structured(event.TypeFundsCredited, `{"amount":5}`, "time", value)))
			if err != nil {
				t.Fatal(err)
			}
			if ev.Time.Before(before) || ev.Time.After(time.Now()) || ev.Time.Location() != time.UTC ||
				ev.Time.Nanosecond()%1000 != 0 {
				t.Errorf("time = %v, want the present one in UTC and whole microseconds", ev.Time)
			}
		})
	}
}

func TestDecodeRefusesAnEnvelope(t *testing.T) {
	good := structured(event.TypeFundsCredited, `{"amount":5}`)
	with := func(name, value string) string {
		return structured(event.TypeFundsCredited, `{"amount":5}`, name, value)
	}
	long := quote(strings.Repeat("x", event.MaxAttribute+1))
	for _, tc := range []struct{ name, input, field, reason string }{
		{"nothing", "", "", "expected one JSON object"},
		{"an array", "[" + good + "]", "", "expected one JSON object"},
		{"a string", `"event"`, "", "expected one JSON object"},
		{"half an event", good[:len(good)-1], "", "invalid JSON at byte"},
		{"two events", good + good, "", "follows the end"},
		{"words after the event", good + " x", "", "follows the end"},
		{"a comma too many", good[:len(good)-1] + ",}", "", "invalid JSON"},
		{"bytes that are no UTF-8", with("id", "\"\xff\""), "", "not valid UTF-8"},
		{"half a character", with("id", `"\ud83d"`), "", "half a character"},
		{"a control character", with("id", "\"\n\""), "", "control character"},
		{"an escape that JSON does not have", with("id", `"\x41"`), "", "escape sequence"},
		{"a number with a leading zero", with("hops", "01"), "", "number is malformed"},
		{"an attribute nested without end", with("x", strings.Repeat("[", 10_000)), "", "nests too deeply"},
		{"too many attributes", with("a0", `1`+manyAttributes(100)), "", "at most 64 attributes"},
		{"65 KiB", with("memo", quote(strings.Repeat("x", event.MaxSize))), "", "at most 65536"},

		{"no version", with("specversion", ""), "specversion", "missing"},
		{"an old version", with("specversion", `"0.3"`), "specversion", `expected "1.0", found "0.3"`},
		{"a version that is a number", with("specversion", `1.0`), "specversion", "expected a string, found 1.0"},
		{"no id", with("id", ""), "id", "missing"},
		{"an id that is null", with("id", "null"), "id", "missing"},
		{"an empty id", with("id", `""`), "id", "an empty string"},
		{"a blank id", with("id", `"  "`), "id", "not blank"},
		{"an id that is too long", with("id", long), "id", "1025 bytes"},
		{"an id with a control character", with("id", `"a\u0007b"`), "id", `"a\ab": it has a control character`},
		{"an id with a control character of Latin-1", with("id", `"a\u0085b"`), "id", "control character"},
		{"an id with a NUL", with("id", `"a\u0000b"`), "id", "control character"},
		{"an id that is an object", with("id", `{"a":1}`), "id", "found an object"},
		{"no source", with("source", ""), "source", "missing"},
		{"a source that is no URI reference", with("source", `"://"`), "source", "a URI reference"},
		{"no type", with("type", ""), "type", "missing"},
		{"a type that is not in the catalogue", with("type", `"safebox.funds.minted.v1"`), "type", `found "safebox.funds.minted.v1"`},
		{"a type in another case", with("type", `"safebox.Funds.credited.v1"`), "type", "catalogue"},
		{"no subject", with("subject", ""), "subject", "missing"},
		{"a subject that is no npub", with("subject", `"alice"`), "subject", `found "alice": it does not begin with npub1`},
		{"an npub with a wrong checksum", with("subject", quote(exampleNpub[:62]+"q")), "subject", "checksum is wrong"},
		{"an npub in upper case", with("subject", quote(strings.ToUpper(exampleNpub))), "subject", "lower-case"},
		{"a time without a zone", with("time", `"2026-01-02T03:04:05"`), "time", "RFC 3339"},
		{"a time with one digit of hours", with("time", `"2026-01-02T3:04:05Z"`), "time", "RFC 3339"},
		{"a time with a comma", with("time", `"2026-01-02T03:04:05,5Z"`), "time", "RFC 3339"},
		{"a time with a point and no fraction", with("time", `"2026-01-02T03:04:05.Z"`), "time", "RFC 3339"},
		{"a time with a space", with("time", `"2026-01-02 03:04:05Z"`), "time", "RFC 3339"},
		{"a zone of 24 hours", with("time", `"2026-01-02T03:04:05+24:00"`), "time", "RFC 3339"},
		{"a zone of 60 minutes", with("time", `"2026-01-02T03:04:05-01:60"`), "time", "RFC 3339"},
		{"a zone without a colon", with("time", `"2026-01-02T03:04:05+0100"`), "time", "RFC 3339"},
		{"an empty time", with("time", `""`), "time", "RFC 3339"},
		{"a time that is a number", with("time", `1767323045`), "time", "expected a string, found 1767323045"},
		{"a day that does not exist", with("time", `"2026-02-30T03:04:05Z"`), "time", "RFC 3339"},
		{"a time before computers", with("time", `"1969-12-31T23:59:59Z"`), "time", "1970 to 9999"},
		{"a time after the year 9999 in UTC", with("time", `"9999-12-31T23:59:59-01:00"`), "time", "1970 to 9999"},
		{"data of another type", with("datacontenttype", `"text/xml"`), "datacontenttype", `found "text/xml"`},
		{"an empty type of data", with("datacontenttype", `""`), "datacontenttype", "application/json"},
		{"binary data", with("data_base64", `"e30="`), "data_base64", "binary"},
		{"no data", with("data", ""), "data", "missing"},
		{"data that is null", with("data", "null"), "data", "found null"},
		{"data that is an array", with("data", "[5]"), "data", "found an array"},
		{"data that is JSON in a string", with("data", `"{\"amount\":5}"`), "data", "expected a JSON object"},
		{"a schema that is no URI", with("dataschema", `"schema"`), "dataschema", "absolute URI"},
		{"an attribute twice", good[:len(good)-1] + `,"id":"2"}`, "id", "twice"},
		{"data twice", good[:len(good)-1] + `,"d\u0061ta":{}}`, "data", "twice"},
		{"an attribute in upper case", with("ID", `"2"`), "ID", "not a CloudEvents attribute"},
		{"an attribute with a hyphen", with("trace-id", `"2"`), "trace-id", "not a CloudEvents attribute"},
		{"an attribute without a name", with("", `"2"`), `""`, "not a CloudEvents attribute"},
		{"an extension that is an object", with("trace", `{}`), "trace", "found an object"},
		{"an extension that is a fraction", with("ratio", `0.5`), "ratio", "found 0.5"},
		{"an extension of more than 32 bits", with("big", `2147483648`), "big", "found 2147483648"},
		{"an extension that is too long", with("long", long), "long", "1025 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := refusalOf(t, tc.input)
			if r.Field != tc.field || !strings.Contains(r.Reason, tc.reason) {
				t.Errorf("refused %q: %s\nwant    %q: …%s…", r.Field, r.Reason, tc.field, tc.reason)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"b%d":1`, i)
	}
	return b.String()
}

func TestDecodeRefusesData(t *testing.T) {
	registered := func(member, value string) string {
		m := map[string]string{"npub": quote(exampleNpub), "handle": `"h"`, "home_relay": `"r"`, "onboard_code": `"o"`}
		m[member] = value
		var parts []string
		for name, value := range m {
			if value != "" {
				parts = append(parts, quote(name)+":"+value)
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	const (
		credited    = event.TypeFundsCredited
		debited     = event.TypeFundsDebited
		transferred = event.TypeFundsTransferred
		updated     = event.TypeWalletUpdated
		quoted      = event.TypeCurrencyQuoted
		offer       = event.TypeOfferOpened
		wallet      = event.TypeWalletRegistered
	)
	for _, tc := range []struct{ name, typ, subject, data, field, reason string }{
		{"no amount", credited, exampleNpub, `{}`, "data.amount", "missing; expected a whole number of sats from 1 to 9007199254740991"},
		{"an amount of nothing", credited, exampleNpub, `{"amount":0}`, "data.amount", "found 0"},
		{"a negative amount", credited, exampleNpub, `{"amount":-5}`, "data.amount", "found -5"},
		{"an amount above the largest", credited, exampleNpub, `{"amount":9007199254740992}`, "data.amount", "found 9007199254740992"},
		{"an amount beyond 64 bits", credited, exampleNpub, `{"amount":99999999999999999999}`, "data.amount", "found 99999999999999999999"},
		{"an amount with a fraction of zero", credited, exampleNpub, `{"amount":5.0}`, "data.amount", "found 5.0"},
		{"an amount with an exponent", credited, exampleNpub, `{"amount":5e2}`, "data.amount", "found 5e2"},
		{"an amount in a string", credited, exampleNpub, `{"amount":"5"}`, "data.amount", `found "5"`},
		{"an amount that is null", credited, exampleNpub, `{"amount":null}`, "data.amount", "found null"},
		{"an amount that is true", credited, exampleNpub, `{"amount":true}`, "data.amount", "found true"},
		{"an amount in a list", credited, exampleNpub, `{"amount":[5]}`, "data.amount", "found an array"},
		{"a name in another case", credited, exampleNpub, `{"Amount":5}`, "data.Amount", "which has amount, memo and reference"},
		{"a member too many", credited, exampleNpub, `{"amount":5,"fee":1}`, "data.fee", "not a member of safebox.funds.credited.v1"},
		{"a member twice", credited, exampleNpub, `{"amount":5,"amount":5}`, "data.amount", "twice"},
		{"a memo that is null", credited, exampleNpub, `{"amount":5,"memo":null}`, "data.memo", "found null"},
		{"a memo that is a number", credited, exampleNpub, `{"amount":5,"memo":7}`, "data.memo", "found 7"},
		{"a memo with a NUL", credited, exampleNpub, `{"amount":5,"memo":"a\u0000"}`, "data.memo", "NUL"},
		{"a memo that is too long", credited, exampleNpub, `{"amount":5,"memo":` + quote(strings.Repeat("é", 2049)) + `}`, "data.memo", "found a string of 4098 bytes"},
		{"a negative fee", debited, exampleNpub, `{"amount":5,"fee":-1}`, "data.fee", "found -1"},
		{"a fee above the largest", debited, exampleNpub, `{"amount":5,"fee":9007199254740992}`, "data.fee", "from 0 to"},
		{"a fee that is null", debited, exampleNpub, `{"amount":5,"fee":null}`, "data.fee", "found null"},
		{"no payee", transferred, exampleNpub, `{"amount":5}`, "data.to", "missing"},
		{"a payee that is no npub", transferred, exampleNpub, `{"to":"bob","amount":5}`, "data.to", "npub1"},
		{"a payee with a wrong checksum", transferred, exampleNpub, `{"to":"` + otherNpub[:62] + `7","amount":5}`, "data.to", "checksum"},

		{"a wallet that is not the subject", wallet, exampleNpub, registered("npub", quote(otherNpub)), "data.npub", "expected the event's subject"},
		{"a wallet without a handle", wallet, exampleNpub, registered("handle", ""), "data.handle", "missing"},
		{"an empty handle", wallet, exampleNpub, registered("handle", `""`), "data.handle", "found an empty string"},
		{"a handle that is null", wallet, exampleNpub, registered("handle", `null`), "data.handle", "found null"},
		{"a handle with a control character", wallet, exampleNpub, registered("handle", `"a\tb"`), "data.handle", "control character"},
		{"a handle that is too long", wallet, exampleNpub, registered("handle", quote(strings.Repeat("h", 513))), "data.handle", "513 bytes"},
		{"an empty owner", wallet, exampleNpub, registered("owner", `""`), "data.owner", "an empty string"},
		{"a currency in lower case", wallet, exampleNpub, registered("currency_code", `"usd"`), "data.currency_code", `found "usd"`},
		{"an empty currency", wallet, exampleNpub, registered("currency_code", `""`), "data.currency_code", "an empty string"},
		{"a currency of 13 letters", wallet, exampleNpub, registered("currency_code", `"ABCDEFGHIJKLM"`), "data.currency_code", "1 to 12"},
		{"an empty update", updated, exampleNpub, `{}`, "data", "at least one of custom_handle, owner, home_relay and currency_code"},
		{"a relay that is cleared", updated, exampleNpub, `{"home_relay":null}`, "data.home_relay", "found null"},
		{"a custom handle that is emptied", updated, exampleNpub, `{"custom_handle":""}`, "data.custom_handle", "or null, found an empty string"},
		{"a balance that is set", updated, exampleNpub, `{"balance":5}`, "data.balance", "not a member"},
		{"an access key that is missing", event.TypeWalletAccessKeyRotated, exampleNpub, `{}`, "data.access_key", "missing"},
		{"a connect secret that is null", event.TypeWalletNWCRotated, exampleNpub, `{"nwc_secret":null}`, "data.nwc_secret", "found null"},
		{"a quote of nothing", event.TypeQuoteCreated, exampleNpub, `{"quote":"q","amount":0,"mint":"m"}`, "data.amount", "found 0"},
		{"a requester that is not the subject", event.TypeNonceUsed, "r", `{"requester_pubkey":"s","flow":"f","nonce":"n","requester_ts":1}`, "data.requester_pubkey", `expected the event's subject, "r", found "s"`},
		{"a time before 1970", event.TypeNonceUsed, "r", `{"requester_pubkey":"r","flow":"f","nonce":"n","requester_ts":-1}`, "data.requester_ts", "found -1"},
		{"a nonce that is not the subject", offer, "m", `{"nonce":"n","nauth":"a","grant_kind":1,"offer_kind":2,"host":"h"}`, "data.nonce", "expected the event's subject"},
		{"a kind of more than 31 bits", offer, "n", `{"nonce":"n","nauth":"a","grant_kind":2147483648,"offer_kind":2,"host":"h"}`, "data.grant_kind", "from 0 to 2147483647"},
		{"a currency that is no code", quoted, "euro", `{"rate":1,"refreshed_at":"2026-01-01T00:00:00Z"}`, "subject", "a currency code"},
		{"a rate of nothing", quoted, "EUR", `{"rate":0,"refreshed_at":"2026-01-01T00:00:00Z"}`, "data.rate", "found 0"},
		{"a negative rate", quoted, "EUR", `{"rate":-1.5,"refreshed_at":"2026-01-01T00:00:00Z"}`, "data.rate", "found -1.5"},
		{"a rate beyond all numbers", quoted, "EUR", `{"rate":1e999,"refreshed_at":"2026-01-01T00:00:00Z"}`, "data.rate", "found 1e999"},
		{"a rate too small to tell from nothing", quoted, "EUR", `{"rate":1e-999,"refreshed_at":"2026-01-01T00:00:00Z"}`, "data.rate", "a positive number"},
		{"a rate in a string", quoted, "EUR", `{"rate":"1","refreshed_at":"2026-01-01T00:00:00Z"}`, "data.rate", `found "1"`},
		{"a quotation at no time", quoted, "EUR", `{"rate":1,"refreshed_at":"yesterday"}`, "data.refreshed_at", `found "yesterday"`},
		{"a quotation at a number", quoted, "EUR", `{"rate":1,"refreshed_at":1767323045}`, "data.refreshed_at", "RFC 3339"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := refusalOf(t, structured(tc.typ, tc.data, "subject", quote(tc.subject)))
			if r.Field != tc.field || !strings.Contains(r.Reason, tc.reason) {
				t.Errorf("refused %q: %s\nwant    %q: …%s…", r.Field, r.Reason, tc.field, tc.reason)
			}
			if r.Source != "/tests" || r.ID != "1" {
				t.Errorf("the refusal is of %q from %q, want 1 from /tests", r.ID, r.Source)
			}
		})
	}
}

func TestDecodePayloadRefuses(t *testing.T) {
	for _, tc := range []struct{ name, typ, data, field string }{
		{"a type that is not in the catalogue", "no.such.type", `{}`, "type"},
		{"nothing", event.TypeQuotePaid, ``, "data"},
		{"garbage", event.TypeQuotePaid, "\x00\xff", "data"},
		{"half an object", event.TypeQuotePaid, `{"quote":"q"`, ""},
		{"an object and more", event.TypeQuotePaid, `{"quote":"q"}}`, ""},
		{"another type's data", event.TypeQuotePaid, `{"amount":5}`, "data.amount"},
		{"data without a required member", event.TypeQuotePaid, `{}`, "data.quote"},
		{"data of a megabyte", event.TypeQuotePaid, strings.Repeat(" ", 1<<20), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload, err := event.DecodePayload(tc.typ, []byte(tc.data))
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || payload != nil {
				t.Fatalf("DecodePayload = %v, %v; want a refusal", payload, err)
			}
			if refusal.Field != tc.field {
				t.Errorf("refused %q, want %q: %v", refusal.Field, tc.field, err)
			}
		})
	}
}
