package event

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// An event is drawn from the table of the catalogue, so that a new type is covered without a new test.

// drawString draws text that a kind takes, rich in what JSON escapes.
func drawString(t *rapid.T, kind Kind, label string) string {
	switch kind {
	case KindNpub:
		return drawNpub(t, label)
	case KindCurrency:
		return rapid.StringMatching(`[A-Z0-9]{1,12}`).Draw(t, label)
	case KindIdentifier:
		return rapid.StringOfN(rapid.RuneFrom([]rune(`ab"\/<&é☕😀 `)), 1, 40, MaxIdentifier).Draw(t, label)
	default:
		return rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\/<&é☕😀\n\t\r\b\f\x01\x1f\x7f\u0085\u2028 ")), 1, 60, MaxText).Draw(t, label)
	}
}

func drawNpub(t *rapid.T, label string) string {
	var key [keySize]byte
	copy(key[:], rapid.SliceOfN(rapid.Byte(), keySize, keySize).Draw(t, label))
	return EncodeNpub(key)
}

// drawJSON draws the JSON of a value of the kind.
func drawJSON(t *rapid.T, kind Kind, label string) string {
	if least, most, whole := kind.limits(); whole {
		return string(mustJSON(rapid.Int64Range(least, most).Draw(t, label)))
	}
	switch kind {
	case KindRate:
		return string(mustJSON(rapid.Float64Range(math.SmallestNonzeroFloat64, math.MaxFloat64).Draw(t, label)))
	case KindTimestamp:
		at := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, label))
		zone := time.FixedZone("", 60*rapid.IntRange(0, 14*60).Draw(t, label+" zone"))
		return string(mustJSON(at.In(zone)))
	}
	return drawEscaped(t, drawString(t, kind, label), label)
}

// drawEscaped writes a string as JSON in one of three ways.
func drawEscaped(t *rapid.T, s, label string) string {
	switch rapid.IntRange(0, 2).Draw(t, label+" form") {
	case 0:
		return string(mustJSON(s)) // escapes for HTML
	case 1:
		return string(appendString(nil, s))
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String() + `"`
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// A drawn event is its JSON twice: as a producer may write it, with members in any order, and again in another order.
func drawEvent(t *rapid.T) (s *spec, one, other string) {
	s = &specs[rapid.IntRange(0, len(specs)-1).Draw(t, "type")]
	subject := drawNpub(t, "subject")
	switch s.subject {
	case subjectCurrency:
		subject = drawString(t, KindCurrency, "subject")
	case subjectMember:
		subject = drawString(t, KindIdentifier, "subject") + "x" // not blank
	}
	var members []string
	for i, m := range s.members {
		if !m.required && (!s.some || i > 0) && rapid.Bool().Draw(t, m.name+" absent") {
			continue
		}
		text := drawJSON(t, m.kind, m.name)
		if i == s.same {
			text = string(mustJSON(subject))
		} else if m.null != nullRefused && rapid.Bool().Draw(t, m.name+" null") {
			text = "null"
		}
		members = append(members, `"`+m.name+`":`+text)
	}
	attributes := []string{
		`"specversion":"1.0"`, `"type":"` + s.name + `"`, `"subject":` + string(mustJSON(subject)),
		`"id":` + drawEscaped(t, drawString(t, KindIdentifier, "id")+"x", "id"), `"source":"/tests"`,
		`"time":` + drawJSON(t, KindTimestamp, "time"),
	}
	if rapid.Bool().Draw(t, "extension") {
		attributes = append(attributes, `"ext1":`+drawEscaped(t, drawString(t, KindIdentifier, "ext1"), "ext1"), `"ext2":true`)
	}
	space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
	write := func(label string) string {
		data := "{" + strings.Join(rapid.Permutation(members).Draw(t, label+" members"), space+","+space) + "}"
		all := append([]string{`"data":` + data}, attributes...)
		return "{" + space + strings.Join(rapid.Permutation(all).Draw(t, label+" attributes"), ","+space) + "}" + space
	}
	return s, write("one"), write("other")
}

// Invariants 2 and 3.
func TestDecodingIsStableAndBlindToFormAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, one, other := drawEvent(t)
		ev, err := Decode([]byte(one))
		if err != nil {
			t.Fatalf("%v: %s", err, one)
		}
		again, err := Decode([]byte(other))
		if err != nil {
			t.Fatalf("%v: %s", err, other)
		}
		if diff := cmp.Diff(ev, again); diff != "" {
			t.Fatalf("another order of the members changes the event:\n%s", diff)
		}
		encoded := Encode(ev)
		back, err := Decode(encoded)
		if err != nil {
			t.Fatalf("%v: %s", err, encoded)
		}
		if diff := cmp.Diff(ev, back); diff != "" {
			t.Fatalf("Decode(Encode(e)) is not e:\n%s", diff)
		}
		if diff := cmp.Diff(string(encoded), string(Encode(back))); diff != "" {
			t.Fatalf("Encode is not stable:\n%s", diff)
		}
		payload, err := DecodePayload(s.name, ev.Data)
		if err != nil || payload == nil {
			t.Fatalf("payload of %s: %v, %v", ev.Data, payload, err)
		}
		if !json.Valid(EncodeRedacted(ev)) {
			t.Fatalf("EncodeRedacted gives no JSON: %s", EncodeRedacted(ev))
		}
	})
}

// Invariant 5: what is no JSON to the library is none to the scanner, and the other way round but for its strictness
// about text.
func TestTheScannerAgreesWithEncodingJSON(t *testing.T) {
	pieces := []string{
		"{", "}", "[", "]", ",", ":", `"a"`, `"\n"`, `"\u00e9"`, `"\q"`, `"é"`, `"\ud83d\ude00"`, "0", "-", "1", ".5", "e+1", "E", "true", "false",
		"null", "tru", " ", "\n", `"`, `\`, `"b":1`, `{"c":[]}`, `[1,2]`, "00",
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
		in := scanner{text: text}
		token, err := in.value()
		if err == nil {
			err = in.end()
		}
		if valid := json.Valid([]byte(text)); valid != (err == nil) {
			t.Fatalf("%q: valid is %v, the scanner says %+v", text, valid, err)
		}
		if err == nil && token.kind == tokenString {
			var want string
			if err := json.Unmarshal([]byte(text), &want); err != nil || token.value() != want {
				t.Fatalf("%q reads as %q, want %q (%v)", text, token.value(), want, err)
			}
		}
	})
}
