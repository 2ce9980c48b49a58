package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/safebox/safebox/worker/event"
)

// operationLimit is the largest body of an operation, in bytes.
const operationLimit = 8 << 10

// Operations are what operators do about parked events. A subject may be the handle of a wallet; event.ErrNotFound says that
// nothing of it is parked.
type Operations interface {
	// Retry processes the parked events of a subject again, in order, until one fails.
	Retry(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error)
	// Skip gives the first parked event of a subject up for ever, and retries those behind it.
	Skip(ctx context.Context, subject string, by event.Operator) (event.ParkedResult, error)
}

// operation answers POST /v1/parked/{subject}/retry and /skip.
type operation struct {
	name     string // event.ActionRetry or event.ActionSkip
	do       func(context.Context, string, event.Operator) (event.ParkedResult, error)
	gate     *gate
	troubles *troubles
	logger   *slog.Logger
}

func (o *operation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := o.gate.shut(r.Context()); p != nil {
		p.write(w)
		return
	}
	if _, p := parameterised(r); p != nil {
		p.write(w)
		return
	}
	keys, p := keyed(r, "subject")
	if p != nil {
		p.write(w)
		return
	}
	by, p := o.operator(w, r)
	if p != nil {
		p.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), appendTimeout)
	defer cancel()
	result, err := o.do(ctx, keys[0], by)
	switch {
	case errors.Is(err, event.ErrNotFound):
		missing("nothing-parked", "Nothing parked", "no event of "+shortened(keys[0])+" is parked; GET /v1/parked lists those that are").write(w)
		return
	case err != nil:
		o.troubles.answer(r.Context(), err, "a "+o.name+" of parked events", "the database could not do it now; try again").write(w)
		return
	}
	o.logger.InfoContext(ctx, "http: parked events were seen to", "action", o.name, "by", by.Actor, "subject", result.Subject,
		"waiting", result.Waiting, "from", r.RemoteAddr)
	writeJSON(w, "application/json", http.StatusOK, result)
}

// operator reads who does it and why. A media type that no form of a web page can send is asked for.
func (o *operation) operator(w http.ResponseWriter, r *http.Request) (by event.Operator, p *problem) {
	if p := decodable(r, "application/json"); p != nil {
		return by, p
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return by, plain(http.StatusUnsupportedMediaType, `send {"by": "…", "reason": "…"} as application/json`).with("Accept", "application/json")
	}
	b, p := body(w, r, operationLimit)
	if p != nil {
		return by, p
	}
	var given struct {
		By     string `json:"by"`
		Reason string `json:"reason"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&given); err != nil || d.Decode(&struct{}{}) != io.EOF {
		return by, named(http.StatusBadRequest, "malformed-json", "Malformed JSON", `expected one JSON object with the strings "by" and "reason" and nothing else`)
	}
	by = event.Operator{Actor: strings.TrimSpace(given.By), Reason: strings.TrimSpace(given.Reason)}
	switch {
	case by.Actor == "":
		return by, unfit("by", "missing; expected who does it")
	case event.OperatorTextFault(by.Actor) != "":
		return by, unfit("by", "expected "+event.OperatorTextFault(by.Actor))
	case o.name == event.ActionSkip && by.Reason == "":
		return by, unfit("reason", "missing; an event is given up for ever: expected why")
	case event.OperatorTextFault(by.Reason) != "":
		return by, unfit("reason", "expected "+event.OperatorTextFault(by.Reason))
	}
	return by, nil
}

func unfit(field, reason string) *problem {
	p := named(http.StatusUnprocessableEntity, "operation-refused", "Operation refused", "nothing was done; field and reason say why")
	p.Field, p.Reason = field, reason
	return p
}
