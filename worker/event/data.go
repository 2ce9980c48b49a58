package event

import (
	"fmt"
	"strconv"
)

// DecodePayload reads the data of an event of the catalogue. It takes every form that Decode takes, canonical or not,
// and refuses what Decode refuses, except for the rules that need the subject. The error is a *SealedError when a secret
// is sealed still, as it is in the log: Keyring.Open comes first. Else it is a *Refusal, and a record of the log for which
// there is one was not written by this program's door.
func DecodePayload(typ string, data []byte) (Payload, error) {
	s, ok := byType[typ]
	if !ok {
		return nil, unknownType(typ)
	}
	if len(data) > MaxSize {
		return nil, tooLarge("the data", len(data))
	}
	// One copy of the data holds all of the payload's strings.
	v, refusal := s.decode(string(data), inTheLog)
	if refusal != nil {
		return nil, refusal
	}
	if s.secrets {
		if err := s.unopened(&v); err != nil {
			return nil, err
		}
	}
	return s.build(v), nil
}

func unknownType(typ string) *Refusal {
	return &Refusal{Field: "type", Reason: "expected a type of the catalogue such as " + TypeFundsCredited + ", found " + quoted(typ)}
}

func tooLarge(what string, size int) *Refusal {
	return &Refusal{Reason: fmt.Sprintf("%s has %d bytes, and an event may have at most %d", what, size, MaxSize)}
}

// place is where data comes from.
type place uint8

const (
	atTheDoor place = iota // of a producer
	inTheLog               // where secrets are sealed
)

// decode reads the data, a JSON object, by the table of the type.
func (s *spec) decode(data string, from place) (v values, refusal *Refusal) {
	in := scanner{text: data}
	if in.peek() != '{' {
		return v, &Refusal{Field: "data", Reason: "expected a JSON object"}
	}
	if err := in.open(); err != nil {
		return v, err.refusal()
	}
	var seen uint32
	guess := 0
	for first := true; ; first = false {
		name, more, err := in.member(first)
		if err != nil {
			return v, err.refusal()
		}
		if !more {
			break
		}
		t, err := in.value()
		if err != nil {
			return v, err.refusal()
		}
		i := s.find(name.value(), guess)
		if i < 0 {
			return v, s.unknown(name.value())
		}
		if seen&(1<<i) != 0 {
			return v, &Refusal{Field: "data." + s.members[i].name, Reason: "the member is there twice"}
		}
		seen |= 1 << i
		guess = i + 1
		if from == inTheLog && s.members[i].secret && t.kind == tokenObject && isSealed(t.text) {
			v[i].state, v[i].text = sealed, t.text
			continue
		}
		if reason := s.members[i].read(t, &v[i]); reason != "" {
			return v, &Refusal{Field: "data." + s.members[i].name, Reason: reason}
		}
	}
	if err := in.end(); err != nil {
		return v, err.refusal()
	}
	return v, s.complete(seen)
}

// find returns the index of a member. The guess is right when the members come in canonical order.
func (s *spec) find(name string, guess int) int {
	if guess < len(s.members) && s.members[guess].name == name {
		return guess
	}
	for i := range s.members {
		if s.members[i].name == name {
			return i
		}
	}
	return -1
}

func (s *spec) unknown(name string) *Refusal {
	r := &Refusal{Field: "data." + fieldName(name)}
	if isPrivateKeyName(name) {
		r.Reason = privateKeyReason
		return r
	}
	r.Reason = "not a member of " + s.name + ", which has " + listed(s.names())
	return r
}

func (s *spec) names() []string {
	names := make([]string, len(s.members))
	for i := range s.members {
		names[i] = s.members[i].name
	}
	return names
}

// complete makes sure that no required member is missing.
func (s *spec) complete(seen uint32) *Refusal {
	for i := range s.members {
		if m := &s.members[i]; m.required && seen&(1<<i) == 0 {
			return &Refusal{Field: "data." + m.name, Reason: "missing; expected " + m.expects()}
		}
	}
	if s.some && seen == 0 {
		return &Refusal{Field: "data", Reason: "expected at least one of " + listed(s.names()) + ", found none"}
	}
	return nil
}

// read takes the value of the member; the reason says why it cannot, and never shows a secret.
func (m *member) read(t token, v *value) (reason string) {
	if t.kind == tokenNull && m.null != nullRefused {
		if m.null == nullKept {
			v.state = null
		}
		return ""
	}
	if m.empty && t.kind == tokenString && t.text == "" {
		return ""
	}
	if t.forbidden != "" {
		return "has a member " + t.forbidden + ": " + privateKeyReason
	}
	fault, ok := m.kind.read(t, v)
	if !ok {
		return m.refuse(t, fault)
	}
	if m.kind == KindFee && v.whole == 0 {
		v.state = absent
	}
	// A secret is never shown in any case, and it may well be a key.
	if !m.secret && (m.kind == KindText || m.kind == KindIdentifier) && holdsPrivateKey(v.text) {
		return privateKeyReason
	}
	return ""
}

func (m *member) refuse(t token, fault string) string {
	reason := "expected " + m.expects() + ", found " + t.show(m.secret)
	if fault != "" {
		reason += ": " + fault
	}
	return reason
}

// expects describes the member's values in words.
func (m *member) expects() string {
	if m.null == nullKept {
		return m.kind.Expects() + ", or null"
	}
	return m.kind.Expects()
}

// show describes what was found: scalars by their value, unless it is secret, and the rest by its kind alone.
func (t token) show(secret bool) string {
	switch t.kind {
	case tokenNull:
		return "null"
	case tokenObject:
		return "an object"
	case tokenArray:
		return "an array"
	case tokenString:
		s := t.value()
		switch {
		case s == "":
			return "an empty string"
		case secret:
			return "another string, which is secret and not shown"
		case len(s) > MaxText:
			return "a string of " + strconv.Itoa(len(s)) + " bytes"
		default:
			return quoted(s)
		}
	case tokenNumber:
		if secret {
			return "a number"
		}
		return shortened(t.text)
	default:
		if secret {
			return "a boolean"
		}
		return t.text
	}
}
