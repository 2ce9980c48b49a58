package event

import (
	"encoding/base64"
	"strings"
)

// A sealed member holds an object in the place of its string, so that no string of a producer can be taken for one:
//
//	{"sealed":"v1.<id of the key>.<nonce, ciphertext and tag in base64url>"}
const (
	sealedStart = `{"sealed":"v1.`
	sealedEnd   = `"}`
)

// KeyVariable is where an operator keeps the keys; messages to people name it.
const KeyVariable = "SAFEBOX_SECRET_KEY"

// A SealedError says that a secret of an event of the log is sealed and cannot be opened here.
type SealedError struct {
	Field string // such as "data.access_key"
	Key   string // the id of the key that it was sealed with
	// Known: the key is at hand, so what is sealed was changed, or belongs to another event.
	Known bool
}

// Error says which key is missing, or that the event was tampered with.
func (e *SealedError) Error() string {
	if e.Known {
		return e.Field + " is sealed with key " + e.Key + " and does not open: it was changed, or taken from another event"
	}
	return e.Field + " is sealed with key " + e.Key + ", which is not in " + KeyVariable + ": add it there, behind the current key"
}

// Secrets tells whether the catalogue has secret members for the type.
func Secrets(typ string) bool {
	s, ok := byType[typ]
	return ok && s.secrets
}

// Seal returns the event with every secret member sealed, ready for the log; an event without secrets as it is. Without a
// key, an event with a secret is refused. The event is one that Decode made.
func (k *Keyring) Seal(topic string, ev Event) (Event, *Refusal) {
	if topic != Topic || !Secrets(ev.Type) {
		return ev, nil
	}
	s := byType[ev.Type]
	v, r := s.decode(string(ev.Data), atTheDoor)
	if r != nil {
		r.Source, r.ID = ev.Source, ev.ID
		return ev, r
	}
	found := false
	for i := range s.members {
		m := &s.members[i]
		if !m.secret || v[i].state != set {
			continue
		}
		field := "data." + m.name
		if k.Empty() {
			return ev, &Refusal{
				Field: field, Source: ev.Source, ID: ev.ID,
				Reason: "the log keeps a secret sealed alone, and " + KeyVariable + " is not set here: set it, then publish the event again",
			}
		}
		key := k.keys[0]
		v[i].state = sealed
		v[i].text = sealedStart + key.id + "." + base64.RawURLEncoding.EncodeToString(key.seal(binding(topic, &ev, field), v[i].text)) + sealedEnd
		found = true
	}
	if found {
		ev.Data = s.appendCanonical(make([]byte, 0, len(ev.Data)+128), &v)
	}
	return ev, nil
}

// Open returns the event with every sealed member opened; an event without any as it is. The error is a *SealedError, and
// the event is then as it was.
func (k *Keyring) Open(topic string, ev Event) (Event, error) {
	if topic != Topic || !Secrets(ev.Type) {
		return ev, nil
	}
	s := byType[ev.Type]
	v, r := s.decode(string(ev.Data), inTheLog)
	if r != nil {
		return ev, nil // whoever reads the data meets the same refusal
	}
	found := false
	for i := range s.members {
		if v[i].state != sealed {
			continue
		}
		id, box, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v[i].text, sealedStart), sealedEnd), ".")
		e := &SealedError{Field: "data." + s.members[i].name, Key: id}
		key := k.find(id)
		if key == nil {
			return ev, e
		}
		bytes, err := base64.RawURLEncoding.DecodeString(box)
		secret, ok := key.open(binding(topic, &ev, e.Field), bytes)
		if err != nil || !ok {
			e.Known = true
			return ev, e
		}
		v[i].state, v[i].text = set, secret
		found = true
	}
	if found {
		ev.Data = s.appendCanonical(make([]byte, 0, len(ev.Data)), &v)
	}
	return ev, nil
}

// isSealed tells whether the text of an object has the form of a sealed member: an id of 8 hexadecimal digits, a dot, and
// base64url. Nothing else that is an object may stand in a secret member.
func isSealed(text string) bool {
	inner, ok := strings.CutPrefix(text, sealedStart)
	if !ok {
		return false
	}
	inner, ok = strings.CutSuffix(inner, sealedEnd)
	if !ok || len(inner) < 10 || inner[8] != '.' {
		return false
	}
	for i := range len(inner) {
		c := inner[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', i == 8:
		case i > 8 && (c >= 'g' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// unopened names the first member that is still sealed.
func (s *spec) unopened(v *values) *SealedError {
	for i := range s.members {
		if v[i].state == sealed {
			return &SealedError{Field: "data." + s.members[i].name, Key: v[i].text[len(sealedStart):][:8]}
		}
	}
	return nil
}
