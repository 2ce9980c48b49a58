package event

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind is what a member of an event's data may hold.
type Kind uint8

// The kinds of members.
const (
	KindText       Kind = iota + 1 // a string of at most MaxText bytes without NUL
	KindIdentifier                 // a string of 1 to MaxIdentifier bytes without control characters
	KindNpub                       // a Nostr public key in bech32
	KindCurrency                   // a currency code: 1 to 12 of A-Z and 0-9
	KindAmount                     // whole sats, 1 to MaxAmount
	KindFee                        // whole sats, 0 to MaxAmount; 0 is the default
	KindSeconds                    // whole Unix seconds, 0 to MaxAmount
	KindNumber                     // a whole number, 0 to 2^31 − 1
	KindRate                       // a positive finite number
	KindTimestamp                  // an RFC 3339 date and time
)

// The longest strings, in bytes of UTF-8.
const (
	MaxText       = 4096
	MaxIdentifier = 512
	maxCurrency   = 12
)

// kinds holds, for each kind, its name and how a refusal and the documentation describe it.
var kinds = [...]struct{ name, expects string }{
	KindText:       {"text", "a string of 1 to 4096 bytes without NUL characters"},
	KindIdentifier: {"identifier", "a string of 1 to 512 bytes without control characters"},
	KindNpub:       {"npub", "an npub (63 lower-case characters that begin with npub1)"},
	KindCurrency:   {"currency", "a currency code (1 to 12 characters out of A-Z and 0-9)"},
	KindAmount:     {"amount", "a whole number of sats from 1 to " + strconv.Itoa(MaxAmount)},
	KindFee:        {"fee", "a whole number of sats from 0 to " + strconv.Itoa(MaxAmount)},
	KindSeconds:    {"seconds", "a whole number of seconds from 0 to " + strconv.Itoa(MaxAmount)},
	KindNumber:     {"number", "a whole number from 0 to " + strconv.Itoa(math.MaxInt32)},
	KindRate:       {"rate", "a positive number"},
	KindTimestamp:  {"timestamp", "an RFC 3339 time such as 2026-01-31T12:00:00Z, from 1970 to 9999"},
}

// String is the kind's name.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kinds[k].name
}

// MarshalText writes the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Expects describes the values of the kind in words.
func (k Kind) Expects() string {
	if int(k) >= len(kinds) {
		return "nothing"
	}
	return kinds[k].expects
}

// limits returns the range of a whole kind.
func (k Kind) limits() (least, most int64, whole bool) {
	switch k {
	case KindAmount:
		return 1, MaxAmount, true
	case KindFee, KindSeconds:
		return 0, MaxAmount, true
	case KindNumber:
		return 0, math.MaxInt32, true
	}
	return 0, 0, false
}

// maxBytes returns the longest string of a kind of strings, and 0 for the others.
func (k Kind) maxBytes() int {
	switch k {
	case KindText:
		return MaxText
	case KindIdentifier:
		return MaxIdentifier
	case KindNpub:
		return keyLength
	case KindCurrency:
		return maxCurrency
	}
	return 0
}

// A value is a member's value once it is read: nothing, null, a string, or a whole number. A rate keeps its bits in
// whole, a timestamp its microseconds since 1970.
type value struct {
	state valueState
	text  string
	whole int64
}

type valueState uint8

const (
	absent valueState = iota
	null
	set
	sealed // text is the JSON of what stands in the member's place
)

// pointer returns a string that may be missing.
func (v *value) pointer() *string {
	if v.state != set {
		return nil
	}
	return &v.text
}

func (v *value) nullable() Nullable { return Nullable{Set: v.state != absent, Value: v.pointer()} }

func (v *value) rate() float64 { return math.Float64frombits(uint64(v.whole)) }

func (v *value) time() time.Time { return time.UnixMicro(v.whole).UTC() }

// read takes a token that is not null as a value of the kind; fault says what is wrong with it beyond the wrong kind,
// and ok is false when it is not one.
func (k Kind) read(t token, v *value) (fault string, ok bool) {
	v.state = set
	switch k {
	case KindAmount, KindFee, KindSeconds, KindNumber:
		least, most, _ := k.limits()
		v.whole, ok = t.whole()
		return "", ok && v.whole >= least && v.whole <= most
	case KindRate:
		if t.kind != tokenNumber {
			return "", false
		}
		rate, err := strconv.ParseFloat(t.text, 64)
		v.whole = int64(math.Float64bits(rate))
		return "", err == nil && rate > 0
	case KindTimestamp:
		if t.kind != tokenString {
			return "", false
		}
		at, ok := parseTime(t.value())
		if ok {
			v.whole = at.UnixMicro()
		}
		return "", ok
	default:
		if t.kind != tokenString {
			return "", false
		}
		v.text = t.value()
		return k.readText(v.text)
	}
}

func (k Kind) readText(s string) (fault string, ok bool) {
	switch k {
	case KindNpub:
		_, fault = parseKey(npubPrefix, npubStart, s)
		return fault, fault == ""
	case KindCurrency:
		if s == "" || len(s) > maxCurrency {
			return "", false
		}
		for i := range len(s) {
			if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				return "", false
			}
		}
		return "", true
	case KindIdentifier:
		return checkText(s, MaxIdentifier, true)
	default:
		return checkText(s, MaxText, false)
	}
}

// checkText checks the length of a string that is not to be empty, and its characters: none of the control characters,
// or no NUL alone, which PostgreSQL's text cannot hold.
func checkText(s string, most int, strict bool) (fault string, ok bool) {
	if s == "" {
		return "", false
	}
	if len(s) > most {
		return fmt.Sprintf("it has %d bytes", len(s)), false
	}
	if !strict {
		return "it has a NUL character", strings.IndexByte(s, 0) < 0
	}
	if hasControl(s) {
		return "it has a control character", false
	}
	return "", true
}

// hasControl tells whether s has a control character, of ASCII or of Latin-1 (U+0080 to U+009F).
func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f || c == 0xc2 {
			return strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return false
}
