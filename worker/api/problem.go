package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// problem is an RFC 9457 problem document.
type problem struct {
	Type   string `json:"type"` // a URN of ours, or about:blank where the status says it all
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	// Of an event that was refused or is in conflict.
	ID        string `json:"id,omitempty"`
	Source    string `json:"source,omitempty"`
	Field     string `json:"field,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Partition *int   `json:"partition,omitempty"`
	Position  *int64 `json:"position,omitempty"`

	header http.Header
}

// named is a problem of a type of ours; the name is part of the contract with clients.
func named(status int, name, title, detail string) *problem {
	return &problem{Type: "urn:safebox:problem:" + name, Title: title, Status: status, Detail: detail}
}

// plain is a problem that its status explains.
func plain(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// with adds a header to the answer.
func (p *problem) with(key, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(key, value)
	return p
}

// retryAfter tells the client when to come again.
func (p *problem) retryAfter(d time.Duration) *problem {
	return p.with("Retry-After", strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second))))
}

func (p *problem) write(w http.ResponseWriter) {
	for key, values := range p.header {
		w.Header()[key] = values
	}
	writeJSON(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // not reached: every body is a struct of plain values
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that went away needs no answer
}

func notFound(path string) *problem {
	return plain(http.StatusNotFound, "there is nothing at "+shortened(path)+
		"; GET /openapi.json describes what there is")
}

// shortened keeps a client's text from filling the answer, and its private key out of it.
func shortened(s string) string {
	const most = 100
	s = event.WithoutPrivateKeys(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
