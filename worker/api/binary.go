package api

import (
	"net/http"
	"strings"

	"github.com/safebox/safebox/worker/event"
)

// binary takes one event in binary mode: its attributes are headers, its data is the body.
func (i *ingest) binary(w http.ResponseWriter, r *http.Request) {
	b, p := body(w, r, event.MaxSize)
	if p != nil {
		p.write(w)
		return
	}
	ev, err := event.DecodeBinary(attributes(r.Header), r.Header.Get("Content-Type"), b)
	if err != nil {
		i.refuse(w, b, r.Header.Get("Ce-Type"), err)
		return
	}
	i.appendOne(w, r, ev)
}

// attributePrefix begins the names of headers that are attributes of an event, as net/http writes it.
const attributePrefix = "Ce-"

// attributes are the headers of a request that are attributes of an event in binary mode.
func attributes(h http.Header) map[string][]string {
	found := map[string][]string{}
	for name, values := range h {
		if attribute, is := strings.CutPrefix(name, attributePrefix); is {
			found[strings.ToLower(attribute)] = values
		}
	}
	return found
}

// hasAttributes tells whether a request has any such header.
func hasAttributes(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, attributePrefix) {
			return true
		}
	}
	return false
}
