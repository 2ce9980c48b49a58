package event

import "time"

// Decode reads one event in the structured JSON form of CloudEvents 1.0 and holds it to the catalogue. What it returns
// may be appended to the log: the data is in canonical form, the time in UTC and to the microsecond. An event without
// a time gets the present one. Extension attributes, and dataschema, go to the metadata as strings. The error is a
// *Refusal.
func Decode(structured []byte) (Event, error) {
	if len(structured) > MaxSize {
		return Event{}, tooLarge("the event", len(structured))
	}
	ev, refusal := decode(string(structured))
	if refusal != nil {
		return Event{}, refusal
	}
	return ev, nil
}

func decode(structured string) (Event, *Refusal) {
	if len(structured) > MaxSize {
		return Event{}, tooLarge("the event", len(structured))
	}
	var e envelope
	ev, refusal := e.decode(structured)
	if refusal != nil {
		refusal.Source, refusal.ID = presentable(e.source), presentable(e.id)
	}
	return ev, refusal
}

// presentable returns an attribute for a refusal, and nothing where the attribute itself cannot be trusted.
func presentable(a attribute) string {
	if !a.set || a.fault() != "" {
		return ""
	}
	return a.text
}

func (e *envelope) decode(structured string) (Event, *Refusal) {
	if r := e.scan(structured); r != nil {
		return Event{}, r
	}
	return e.finish()
}

// finish makes an event of an envelope whose parts have been read.
func (e *envelope) finish() (Event, *Refusal) {
	if r := e.check(); r != nil {
		return Event{}, r
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	if e.time.set {
		var ok bool
		if at, ok = parseTime(e.time.text); !ok {
			return Event{}, &Refusal{Field: "time", Reason: "expected " + KindTimestamp.Expects() + ", found " + quoted(e.time.text)}
		}
	}
	if r := e.conform(at); r != nil {
		return Event{}, r
	}
	data, r := e.decodeData()
	if r != nil {
		return Event{}, r
	}
	return Event{
		ID: e.id.text, Source: e.source.text, Type: e.typ.text, Subject: e.subject.text,
		Time: at, Data: data, Metadata: e.extensions,
	}, nil
}

// decodeData holds subject and data to the type's table and returns the data in canonical form.
func (e *envelope) decodeData() ([]byte, *Refusal) {
	s, ok := byType[e.typ.text]
	if !ok {
		return nil, unknownType(e.typ.text)
	}
	if r := s.checkSubject(e.subject.text); r != nil {
		return nil, r
	}
	v, r := s.decode(e.data, atTheDoor)
	if r != nil {
		return nil, r
	}
	if s.same >= 0 && v[s.same].text != e.subject.text {
		return nil, &Refusal{
			Field:  "data." + s.members[s.same].name,
			Reason: "expected the event's subject, " + quoted(e.subject.text) + ", found " + quoted(v[s.same].text),
		}
	}
	return s.appendCanonical(make([]byte, 0, len(e.data)+16), &v), nil
}

func (s *spec) checkSubject(subject string) *Refusal {
	kind := KindNpub
	switch s.subject {
	case subjectMember:
		return nil
	case subjectCurrency:
		kind = KindCurrency
	}
	fault, ok := kind.readText(subject)
	if ok {
		return nil
	}
	reason := "expected " + kind.Expects() + ", found " + quoted(subject)
	if fault != "" {
		reason += ": " + fault
	}
	return &Refusal{Field: "subject", Reason: reason}
}
