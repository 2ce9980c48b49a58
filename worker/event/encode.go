package event

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// mask stands in for the value of a secret member.
const mask = `"***"`

// Encode writes an event in the structured JSON form of CloudEvents 1.0, attributes in a fixed order. For an event of
// the catalogue, Decode gives the event back. Data that is not JSON, as other topics may have it, goes to data_base64;
// metadata whose names CloudEvents does not allow is left out. The secrets of the event are in it: what people see is
// EncodeRedacted.
func Encode(ev Event) []byte {
	dst := appendEnvelope(make([]byte, 0, 256+len(ev.Data)), ev)
	if json.Valid(ev.Data) {
		dst = append(dst, `,"datacontenttype":"application/json","data":`...)
		dst = append(dst, ev.Data...)
	} else {
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, ev.Data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// EncodeRedacted is Encode with "***" in the place of every secret member. Data that the catalogue does not explain may
// hold secrets anywhere, and is masked as a whole.
func EncodeRedacted(ev Event) []byte {
	dst := appendEnvelope(make([]byte, 0, 256+len(ev.Data)), ev)
	dst = append(dst, `,"datacontenttype":"application/json","data":`...)
	return append(appendRedacted(dst, ev), '}')
}

func appendRedacted(dst []byte, ev Event) []byte {
	s, ok := byType[ev.Type]
	if !ok {
		return append(dst, mask...)
	}
	v, r := s.decode(string(ev.Data), inTheLog)
	if r != nil {
		return append(dst, mask...)
	}
	for i := range s.members {
		if s.members[i].secret && (v[i].state == set || v[i].state == sealed) {
			v[i].state, v[i].text = set, strings.Trim(mask, `"`)
		}
	}
	return s.appendCanonical(dst, &v)
}

// appendEnvelope writes everything of an event but its data and the closing brace.
func appendEnvelope(dst []byte, ev Event) []byte {
	attribute := func(name, text string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = appendString(dst, strings.ToValidUTF8(text, "\uFFFD"))
	}
	dst = append(dst, `{"specversion":"1.0"`...)
	attribute("id", ev.ID)
	attribute("source", ev.Source)
	attribute("type", ev.Type)
	if ev.Subject != "" {
		attribute("subject", ev.Subject)
	}
	if !ev.Time.IsZero() {
		attribute("time", ev.Time.UTC().Format(time.RFC3339Nano))
	}
	for _, name := range slices.Sorted(maps.Keys(ev.Metadata)) {
		if isExtensionName(name) {
			attribute(name, ev.Metadata[name])
		}
	}
	return dst
}

// isExtensionName tells whether metadata of this name may stand in an envelope beside the attributes of the event.
func isExtensionName(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data":
		return false
	}
	return isAttributeName(name)
}
