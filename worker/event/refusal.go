package event

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Refusal says why an event is not taken, in words for the one who sent it. It never holds the value of a secret
// member or a private key, so that it may be logged and sent back.
type Refusal struct {
	// Field is the path of what is wrong, such as "data.amount", "subject" or "time"; empty for the event as a whole.
	Field string `json:"field"`
	// Reason says what was expected and what was found.
	Reason string `json:"reason"`
	// Source and ID are the identity of the event, as far as it could be read.
	Source string `json:"source,omitempty"`
	ID     string `json:"id,omitempty"`
}

// Error names the event, the field and the reason.
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("event ")
	if r.ID != "" {
		b.WriteString(quoted(r.ID) + " ")
	}
	if r.Source != "" {
		b.WriteString("from " + quoted(r.Source) + " ")
	}
	b.WriteString("refused: ")
	if r.Field != "" {
		b.WriteString(r.Field + ": ")
	}
	b.WriteString(r.Reason)
	return b.String()
}

// privateKeyReason answers a member named nsec and a value that holds one.
const privateKeyReason = "a private key does not belong in a log; leave it out and keep it where only its owner can read it"

// shownRunes is how much of a name or a value a refusal repeats.
const shownRunes = 48

// quoted shows a value: shortened, with control characters escaped.
func quoted(s string) string { return strconv.Quote(shortened(s)) }

// privateKey matches what looks like a private key even when its checksum is wrong: a key with a typing error is still a key.
var privateKey = regexp.MustCompile("(?i)" + nsecPrefix + `1[^\s"]*`)

// noPrivateKey stands where one was left out.
const noPrivateKey = "(a private key)"

// WithoutPrivateKeys is a text for people with whatever looks like a private key left out.
func WithoutPrivateKeys(s string) string { return privateKey.ReplaceAllString(s, noPrivateKey) }

// shortened cuts s to what a refusal repeats: nothing, if there is a private key in it.
func shortened(s string) string {
	if privateKey.MatchString(s) {
		return noPrivateKey
	}
	if utf8.RuneCountInString(s) <= shownRunes {
		return s
	}
	for i, n := 0, 0; ; n++ {
		if n == shownRunes-1 {
			return s[:i] + "…"
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
}

// fieldName shows the name of a member as part of a path: as it is, or quoted where it would not print.
func fieldName(s string) string {
	s = shortened(s)
	if q := strconv.Quote(s); len(q) != len(s)+2 || s == "" || strings.ContainsAny(s, " .") {
		return q
	}
	return s
}

// isPrivateKeyName tells whether a member's name announces a private key.
func isPrivateKeyName(name string) bool {
	return len(name) == len(nsecPrefix) && strings.EqualFold(name, nsecPrefix)
}

// listed joins words for a sentence: "a", "a and b", "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
