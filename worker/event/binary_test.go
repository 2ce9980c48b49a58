package event_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

// headers are the attributes of an event of exampleNpub in binary mode, unless the pairs say otherwise; "" leaves one out.
func headers(typ string, attributes ...string) map[string][]string {
	h := map[string][]string{
		"specversion": {"1.0"}, "id": {"1"}, "source": {"/tests"}, "type": {typ}, "subject": {exampleNpub},
		"time": {"2026-01-02T03:04:05Z"},
	}
	for i := 0; i < len(attributes); i += 2 {
		if h[attributes[i]] = []string{attributes[i+1]}; attributes[i+1] == "" {
			delete(h, attributes[i])
		}
	}
	return h
}

const jsonType = "application/json"

func TestAnEventMeansTheSameInBinaryAndInStructuredMode(t *testing.T) {
	data := ` {"memo":"\u2615", "amount":5} `
	want, err := event.Decode([]byte(structured(event.TypeFundsCredited, data, "source", `"/a b"`, "trace", `"100% \"é\""`, "hops", "7")))
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]map[string][]string{
		"percent-encoded":          headers(event.TypeFundsCredited, "source", "/a%20b", "trace", "100%25%20%22%C3%A9%22", "hops", "7"),
		"more than is necessary":   headers(event.TypeFundsCredited, "source", "%2fa%20%62", "trace", "100%25%20%22%c3%a9%22", "hops", "%37"),
		"as older versions had it": headers(event.TypeFundsCredited, "source", `"/a b"`, "trace", `"100%25 \"%C3%A9\""`, "hops", `"\7"`),
		"with spaces as they are":  headers(event.TypeFundsCredited, "source", "/a b", "trace", "100%25 %22%C3%A9%22", "hops", "7"),
	} {
		for _, kind := range []string{jsonType, "Application/JSON; charset=utf-8", "application/vnd.till+json"} {
			got, err := event.DecodeBinary(h, kind, []byte(data))
			if err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s:\n%s", name, kind, diff)
			}
		}
	}
}

func TestAHeaderThatIsWrongIsNamed(t *testing.T) {
	credited := event.TypeFundsCredited
	for name, c := range map[string]struct {
		headers     map[string][]string
		kind, data  string
		field, says string
	}{
		"no specversion":      {headers: headers(credited, "specversion", ""), field: "specversion", says: "missing"},
		"another specversion": {headers: headers(credited, "specversion", "0.3"), field: "specversion", says: `"0.3"`},
		"no subject":          {headers: headers(credited, "subject", ""), field: "subject", says: "missing"},
		"a bad subject":       {headers: headers(credited, "subject", "npub1x"), field: "subject", says: "npub"},
		"an empty source":     {headers: with(headers(credited), "source", ""), field: "source", says: "empty"},
		"an id that is there twice": {
			headers: with(headers(credited), "id", "1", "2"), field: "id", says: "twice",
		},
		"a half escape":             {headers: headers(credited, "source", "/a%2"), field: "source", says: "hexadecimal"},
		"no escape":                 {headers: headers(credited, "source", "/a%zz"), field: "source", says: "hexadecimal"},
		"an overlong space":         {headers: headers(credited, "source", "/a%C0%A0"), field: "source", says: "no UTF-8"},
		"half a character":          {headers: headers(credited, "source", "/a%E2%82"), field: "source", says: "no UTF-8"},
		"raw UTF-8":                 {headers: headers(credited, "source", "/é"), field: "source", says: "percent-encoded"},
		"a control character":       {headers: headers(credited, "source", "/a%00"), field: "source", says: "control character"},
		"an open quote":             {headers: headers(credited, "source", `"/a`), field: "source", says: "double quotes"},
		"a quote in the middle":     {headers: headers(credited, "source", `/a"b"`), field: "source", says: "double quote"},
		"text behind the quote":     {headers: headers(credited, "source", `"/a"b`), field: "source", says: "closing double quote"},
		"a backslash at the end":    {headers: headers(credited, "source", `"/a\`), field: "source", says: "double quotes"},
		"the content type twice":    {headers: headers(credited, "datacontenttype", jsonType), field: "datacontenttype", says: "Content-Type"},
		"data as a header":          {headers: headers(credited, "data", "{}"), field: "data", says: "body"},
		"an extension in bad style": {headers: headers(credited, "my-trace", "x"), field: "my-trace", says: "lower-case"},
		"a private key as a header": {headers: headers(credited, "nsec", "x"), field: "nsec", says: "private key"},
		"a private key in a header": {headers: headers(credited, "trace", examplePrivate), field: "trace", says: "private key"},
		"a private key in the data": {headers: headers(credited), data: `{"amount":5,"nsec":"x"}`, field: "data.nsec", says: "private key"},
		"no content type":           {headers: headers(credited), kind: "-", field: "datacontenttype", says: "missing"},
		"another content type":      {headers: headers(credited), kind: "text/plain", field: "datacontenttype", says: `"text/plain"`},
		"no data":                   {headers: headers(credited), data: "-", field: "data", says: "too early"},
		"data that is no object":    {headers: headers(credited), data: "[5]", field: "data", says: "object"},
		"two objects":               {headers: headers(credited), data: "{}{}", field: "data", says: "follows"},
		"a bad amount":              {headers: headers(credited), data: `{"amount":-5}`, field: "data.amount", says: "sats"},
		"a bad time":                {headers: headers(credited, "time", "yesterday"), field: "time", says: "RFC 3339"},
		"too many attributes":       {headers: many(headers(credited), 64), says: "at most 64"},
		"too much data":             {headers: headers(credited), data: strings.Repeat(" ", event.MaxSize+1), says: "at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			kind, data := jsonType, `{"amount":5}`
			if c.kind != "" {
				kind = strings.TrimPrefix(c.kind, "-")
			}
			if c.data != "" {
				data = strings.TrimPrefix(c.data, "-")
			}
			ev, err := event.DecodeBinary(c.headers, kind, []byte(data))
			var r *event.Refusal
			if !errors.As(err, &r) {
				t.Fatalf("DecodeBinary = %+v, %v; want a refusal", ev, err)
			}
			if r.Field != c.field || !strings.Contains(r.Reason, c.says) {
				t.Errorf("%+v; want the field %q and a reason that says %q", r, c.field, c.says)
			}
			if strings.Contains(err.Error(), examplePrivate) {
				t.Error("the refusal repeats a private key")
			}
		})
	}
}

func TestTheSizeInBinaryModeIsThatOfTheStructuredForm(t *testing.T) {
	memo := func(n int) []byte { return []byte(`{"amount":5,"memo":"` + strings.Repeat("m", n) + `"}`) }
	if _, err := event.DecodeBinary(headers(event.TypeFundsCredited), jsonType, memo(event.MaxText)); err != nil {
		t.Error(err)
	}
	h := headers(event.TypeFundsCredited)
	for i := range 50 {
		h[fmt.Sprint("x", i)] = []string{strings.Repeat("x", event.MaxAttribute)}
	}
	padded := append(memo(event.MaxText), []byte(strings.Repeat(" ", event.MaxSize/2))...)
	if _, err := event.DecodeBinary(h, jsonType, padded); err != nil {
		t.Errorf("51 KiB of attributes and 4 KiB of data: %v", err)
	}
	for i := range 8 {
		h[fmt.Sprint("y", i)] = []string{strings.Repeat("%22", event.MaxAttribute)} // two bytes each in JSON
	}
	if _, err := event.DecodeBinary(h, jsonType, padded); err == nil {
		t.Error("an event of over 64 KiB in its structured form is taken")
	}
}

func with(h map[string][]string, name string, values ...string) map[string][]string {
	h[name] = values
	return h
}

func many(h map[string][]string, n int) map[string][]string {
	for i := range n {
		h[fmt.Sprint("x", i)] = []string{"x"}
	}
	return h
}

// FuzzDecodeBinary holds binary mode to structured mode: what one takes the other takes, as the same event.
func FuzzDecodeBinary(f *testing.F) {
	for _, value := range []string{"t", "100%25", `"a \"b\""`, "%C3%A9", "%C0%A0", "%", `"`, `"\`, examplePrivate, "é"} {
		f.Add("trace", value, jsonType, []byte(`{"amount":5}`))
		f.Add("source", value, jsonType, []byte(`{"amount":5}`))
	}
	f.Add("datacontenttype", "x", "text/plain", []byte(`[]`))
	f.Add("nsec", "x", "application/x+json", []byte(`{"amount":5,"memo":"m"}`))
	f.Fuzz(func(t *testing.T, name, value, kind string, data []byte) {
		h := headers(event.TypeFundsCredited)
		h[name] = []string{value}
		ev, err := event.DecodeBinary(h, kind, data)
		if err != nil {
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || refusal.Reason == "" {
				t.Fatalf("the error is no refusal with a reason: %v", err)
			}
			return
		}
		back, err := event.Decode(event.Encode(ev))
		if err != nil {
			t.Fatalf("binary mode took what structured mode refuses: %v", err)
		}
		if diff := cmp.Diff(ev, back); diff != "" {
			t.Fatalf("the event is another one in structured mode:\n%s", diff)
		}
	})
}
