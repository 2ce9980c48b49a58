package event

import (
	"errors"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
)

const (
	// MaxAttribute is the longest attribute of an event, in bytes.
	MaxAttribute = 1024
	// maxAttributes is the largest number of members of an envelope.
	maxAttributes = 64

	specVersion = "1.0"
	contentType = "application/json"
	schemaName  = "dataschema"
)

// An attribute is a context attribute of the envelope.
type attribute struct {
	text string
	set  bool
}

// fault says what is wrong with an attribute that is there.
func (a attribute) fault() string {
	if holdsPrivateKey(a.text) {
		return privateKeyReason
	}
	fault, ok := checkText(a.text, MaxAttribute, true)
	if ok {
		return ""
	}
	reason := "expected a string of 1 to " + strconv.Itoa(MaxAttribute) + " bytes without control characters, found "
	if a.text == "" {
		return reason + "an empty string"
	}
	return reason + quoted(a.text) + ": " + fault
}

// envelope is an event taken apart, not yet understood.
type envelope struct {
	specversion, id, source, typ, subject, time, contentType attribute
	// extensions are the attributes that go to the metadata.
	extensions map[string]string
	data       string
	hasData    bool
}

// scan takes the JSON apart.
func (e *envelope) scan(structured string) *Refusal {
	in := scanner{text: structured}
	if c := in.peek(); c != '{' {
		return &Refusal{Reason: "expected one JSON object with a CloudEvents 1.0 event"}
	}
	if err := in.open(); err != nil {
		return err.refusal()
	}
	seen := make([]string, 0, 16)
	for first := true; ; first = false {
		token, more, err := in.member(first)
		if err != nil {
			return err.refusal()
		}
		if !more {
			break
		}
		v, err := in.value()
		if err != nil {
			return err.refusal()
		}
		name := token.value()
		if len(seen) == maxAttributes {
			return tooManyAttributes()
		}
		if slices.Contains(seen, name) {
			return &Refusal{Field: fieldName(name), Reason: "the attribute is there twice"}
		}
		seen = append(seen, name)
		if r := e.put(name, v); r != nil {
			return r
		}
	}
	if err := in.end(); err != nil {
		return err.refusal()
	}
	return nil
}

func tooManyAttributes() *Refusal {
	return &Refusal{Reason: "expected at most " + strconv.Itoa(maxAttributes) + " attributes, found more"}
}

// put keeps one member of the envelope. A null stands for an attribute that is not there (CloudEvents JSON format,
// section 2.2).
func (e *envelope) put(name string, t token) *Refusal {
	switch {
	case isPrivateKeyName(name):
		return &Refusal{Field: fieldName(name), Reason: privateKeyReason}
	case t.forbidden != "":
		return &Refusal{Field: fieldName(name) + "." + t.forbidden, Reason: privateKeyReason}
	case name == "data":
		if t.kind != tokenObject {
			return &Refusal{Field: name, Reason: "expected a JSON object, found " + t.show(true)}
		}
		e.data, e.hasData = t.text, true
		return nil
	case name == "data_base64":
		return &Refusal{Field: name, Reason: "binary data is not taken; expected the member data with a JSON object"}
	}
	var known *attribute
	switch name {
	case "specversion":
		known = &e.specversion
	case "id":
		known = &e.id
	case "source":
		known = &e.source
	case "type":
		known = &e.typ
	case "subject":
		known = &e.subject
	case "time":
		known = &e.time
	case "datacontenttype":
		known = &e.contentType
	}
	if t.kind == tokenNull {
		return nil
	}
	if known == nil {
		return e.extend(name, t)
	}
	if t.kind != tokenString {
		return &Refusal{Field: name, Reason: "expected a string, found " + t.show(false)}
	}
	*known = attribute{text: t.value(), set: true}
	return nil
}

// extend keeps an extension attribute: a string, a boolean or an integer of 32 bits, which is all that CloudEvents has.
func (e *envelope) extend(name string, t token) *Refusal {
	if !isAttributeName(name) {
		return &Refusal{Field: fieldName(name), Reason: "not a CloudEvents attribute; the name of an extension has lower-case letters and digits alone"}
	}
	text := t.value()
	switch n, whole := t.whole(); {
	case t.kind == tokenString, t.kind == tokenBool:
	case whole && int64(int32(n)) == n:
		text = strconv.FormatInt(n, 10)
	default:
		return &Refusal{Field: name, Reason: "expected a string, a boolean or an integer of 32 bits, found " + t.show(false)}
	}
	if text != "" {
		if fault := (attribute{text: text}).fault(); fault != "" {
			return &Refusal{Field: name, Reason: fault}
		}
	}
	if e.extensions == nil {
		e.extensions = make(map[string]string)
	}
	e.extensions[name] = text
	return nil
}

// isAttributeName tells whether a name is one that CloudEvents lets an attribute have.
func isAttributeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= MaxAttribute
}

// check holds the attributes to what the log asks for beyond CloudEvents.
func (e *envelope) check() *Refusal {
	for _, required := range [...]struct {
		name string
		attribute
	}{{"specversion", e.specversion}, {"id", e.id}, {"source", e.source}, {"type", e.typ}, {"subject", e.subject}} {
		if !required.set {
			return &Refusal{Field: required.name, Reason: "missing; expected a string of 1 to " + strconv.Itoa(MaxAttribute) + " bytes"}
		}
		if fault := required.fault(); fault != "" {
			return &Refusal{Field: required.name, Reason: fault}
		}
	}
	if e.specversion.text != specVersion {
		return &Refusal{Field: "specversion", Reason: `expected "1.0", found ` + quoted(e.specversion.text)}
	}
	if e.contentType.set && !isJSON(e.contentType.text) {
		return &Refusal{Field: "datacontenttype", Reason: "expected application/json, found " + quoted(e.contentType.text)}
	}
	if !e.hasData {
		return &Refusal{Field: "data", Reason: "missing; expected a JSON object"}
	}
	return nil
}

func isJSON(contentTypeValue string) bool {
	if contentTypeValue == contentType {
		return true
	}
	media, _, err := mime.ParseMediaType(contentTypeValue)
	return err == nil && (media == contentType || strings.HasSuffix(media, "+json"))
}

// conform asks the CloudEvents SDK whether the attributes obey the specification. The SDK's own words are not passed
// on: they repeat values in full.
func (e *envelope) conform(at time.Time) *Refusal {
	ce := cloudevent.New(specVersion)
	ce.SetID(e.id.text)
	ce.SetSource(e.source.text)
	ce.SetType(e.typ.text)
	ce.SetSubject(e.subject.text)
	ce.SetTime(at)
	ce.SetDataContentType(contentType)
	for name, text := range e.extensions {
		if name == schemaName {
			ce.SetDataSchema(text)
		} else {
			ce.SetExtension(name, text)
		}
	}
	err := ce.Validate()
	if err == nil {
		return nil
	}
	var invalid cloudevent.ValidationError
	if errors.As(err, &invalid) {
		for _, rule := range [...]struct{ name, expected, found string }{
			{"id", "a string that is not blank", e.id.text},
			{"source", "a URI reference", e.source.text},
			{"subject", "a string that is not blank", e.subject.text},
			{schemaName, "an absolute URI", e.extensions[schemaName]},
		} {
			if _, ok := invalid[rule.name]; ok {
				return &Refusal{Field: rule.name, Reason: "expected " + rule.expected + ", found " + quoted(rule.found)}
			}
		}
		for name := range e.extensions {
			if _, ok := invalid["extension:"+name]; ok {
				return &Refusal{Field: name, Reason: "not an extension attribute that CloudEvents allows"}
			}
		}
	}
	return &Refusal{Reason: "expected the attributes of a CloudEvents 1.0 event"}
}
