package event

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DecodeBinary is Decode for the binary mode of the HTTP protocol binding of CloudEvents 1.0.2, section 3.1: attributes are the
// headers that begin with ce-, by lower-case name without that prefix and with their values as they were sent; contentType is
// the header Content-Type, "" without one; data is the body. An event means the same in either mode: its data has the same
// bytes, and its size is that of the structured form. The error is a *Refusal.
func DecodeBinary(attributes map[string][]string, contentTypeValue string, data []byte) (Event, error) {
	if len(data) > MaxSize {
		return Event{}, tooLarge("the data", len(data))
	}
	var e envelope
	r := e.readHeaders(attributes, contentTypeValue)
	if r == nil {
		r = e.readBody(data)
	}
	var ev Event
	if r == nil {
		ev, r = e.finish()
	}
	if r == nil && e.weight() > MaxSize {
		if n := len(Encode(ev)); n > MaxSize {
			r = tooLarge("the event, in its structured form,", n)
		}
	}
	if r != nil {
		r.Source, r.ID = presentable(e.source), presentable(e.id)
		return Event{}, r
	}
	return ev, nil
}

// readHeaders takes the attributes: the identity first, so that every refusal can name the event, and the others by name, so
// that of several faults the same one is always told.
func (e *envelope) readHeaders(attributes map[string][]string, contentTypeValue string) *Refusal {
	if len(attributes) > maxAttributes {
		return tooManyAttributes()
	}
	names := append(make([]string, 0, len(attributes)+2), "source", "id")
	names = append(names, slices.Sorted(maps.Keys(attributes))...)
	for i, name := range names {
		if _, there := attributes[name]; !there || i > 1 && (name == "source" || name == "id") {
			continue
		}
		switch name {
		case "datacontenttype":
			return &Refusal{Field: name, Reason: "in binary mode it is the header Content-Type, and there is no header ce-datacontenttype"}
		case "data", "data_base64":
			return &Refusal{Field: name, Reason: "in binary mode the data is the body, and no header"}
		}
		values := attributes[name]
		if len(values) != 1 {
			return &Refusal{Field: fieldName(name), Reason: "the attribute is there twice"}
		}
		text, fault := decodeHeader(values[0])
		if fault != "" {
			return &Refusal{Field: fieldName(name), Reason: "expected a header value as the HTTP binding of CloudEvents encodes it: " + fault}
		}
		if r := e.put(name, token{kind: tokenString, text: text}); r != nil {
			return r
		}
	}
	if contentTypeValue == "" {
		return &Refusal{Field: "datacontenttype", Reason: "missing; expected the header Content-Type to be application/json"}
	}
	e.contentType = attribute{text: contentTypeValue, set: true}
	return nil
}

// weight bounds the size of the structured form from above, for what has been read from headers: of their characters, JSON
// escapes a few with one more.
func (e *envelope) weight() int {
	n := 512 + len(e.data) + 2*(len(e.id.text)+len(e.source.text)+len(e.typ.text)+len(e.subject.text))
	for name, text := range e.extensions {
		n += len(name) + 2*len(text) + len(`,"":""`)
	}
	return n
}

// readBody takes the data.
func (e *envelope) readBody(data []byte) *Refusal {
	in := scanner{text: string(data)}
	v, err := in.value()
	if err == nil {
		err = in.end()
	}
	if err != nil {
		r := err.refusal()
		r.Field = "data"
		return r
	}
	return e.put("data", v)
}

// decodeHeader undoes what section 3.1.3.2 of the binding does to a value: percent-encoding and, in its older versions, double
// quotes around the whole (RFC 7230, section 3.2.6). fault says why it cannot.
func decodeHeader(value string) (text, fault string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c >= 0x7f {
			return "", "it has a byte that is not printable ASCII and not percent-encoded"
		}
	}
	if strings.HasPrefix(value, `"`) {
		if value, fault = unquote(value); fault != "" {
			return "", fault
		}
	} else if strings.Contains(value, `"`) {
		return "", "it has a double quote that is not percent-encoded"
	}
	return percentDecode(value)
}

// unquote reads a quoted string, of which nothing may be left.
func unquote(value string) (text, fault string) {
	b := make([]byte, 0, len(value))
	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' && i == len(value)-1:
			return string(b), ""
		case c == '"':
			return "", "something follows its closing double quote"
		case c == '\\' && i < len(value)-1:
			i++
			b = append(b, value[i])
		default:
			b = append(b, c)
		}
	}
	return "", "it ends inside double quotes"
}

func percentDecode(s string) (text, fault string) {
	if !strings.Contains(s, "%") {
		return s, ""
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if len(s)-i < 3 {
			return "", "it has a % that no two hexadecimal digits follow"
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", "it has a % that no two hexadecimal digits follow"
		}
		b = append(b, byte(n))
		i += 2
	}
	if !utf8.Valid(b) {
		return "", "its percent-encoded bytes are no UTF-8"
	}
	return string(b), ""
}
