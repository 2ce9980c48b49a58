package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// appendTimeout bounds an append; it is longer than the pool's default timeout, whose error says more.
const appendTimeout = 45 * time.Second

// refused is the result of an event that did not get past the door.
const refused = "refused"

// ingest answers POST /v1/events.
type ingest struct {
	appender Appender
	observer Observer
	gate     *gate
	logger   *slog.Logger
	troubles *troubles
}

func (i *ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := i.gate.shut(r.Context()); p != nil {
		p.write(w)
		return
	}
	media, p := mode(r)
	if p != nil {
		p.write(w)
		return
	}
	switch media {
	case batched:
		i.batch(w, r)
	case binary:
		i.binary(w, r)
	default:
		i.single(w, r)
	}
}

// single takes one event in structured mode.
func (i *ingest) single(w http.ResponseWriter, r *http.Request) {
	b, p := body(w, r, eventLimit)
	if p != nil {
		p.write(w)
		return
	}
	if b = bytes.TrimSpace(b); len(b) > event.MaxSize {
		tooLarge("the event has "+strconv.Itoa(len(b))+" bytes", event.MaxSize).write(w)
		return
	}
	ev, err := event.Decode(b)
	if err != nil {
		var head struct{ Type string }
		_ = json.Unmarshal(b, &head) // for the metric alone; a type that cannot be read counts as unknown
		i.refuse(w, b, head.Type, err)
		return
	}
	i.appendOne(w, r, ev)
}

// appendOne writes one event to the log and answers it.
func (i *ingest) appendOne(w http.ResponseWriter, r *http.Request, ev event.Event) {
	receipts, p := i.append(r.Context(), []event.Event{ev})
	if p != nil {
		p.write(w)
		return
	}
	writeReceipt(w, ev, receipts[0])
}

// refuse answers an event of a type that is not taken: 400 if its body is no JSON at all, else 422 with the field and the reason.
func (i *ingest) refuse(w http.ResponseWriter, b []byte, typ string, err error) {
	var r *event.Refusal
	if !errors.As(err, &r) {
		i.logger.Error("http: decoding an event failed in an unforeseen way; this is a bug", "error", err)
		internal().write(w)
		return
	}
	if !json.Valid(b) {
		malformed(r).write(w)
		return
	}
	i.observer.Appended(typ, refused, 1)
	notTaken(r).write(w)
}

func notTaken(r *event.Refusal) *problem {
	p := named(http.StatusUnprocessableEntity, "event-refused", "Event refused", "the event is not taken; field and reason say why")
	p.ID, p.Source, p.Field, p.Reason = r.ID, r.Source, r.Field, r.Reason
	return p
}

func malformed(r *event.Refusal) *problem {
	p := named(http.StatusBadRequest, "malformed-json", "Malformed JSON", "the body cannot be read: "+r.Reason)
	p.Field, p.Reason = r.Field, r.Reason
	return p
}

// writeReceipt answers one event after its commit.
func writeReceipt(w http.ResponseWriter, ev event.Event, rec event.Receipt) {
	status := http.StatusCreated
	switch rec.Result {
	case event.Duplicate:
		status = http.StatusOK
	case event.Conflict:
		p := named(http.StatusConflict, "event-conflict", "Event in conflict",
			"the log has an event of this source and id with other content; nothing was written")
		p.ID, p.Source, p.Partition, p.Position = ev.ID, ev.Source, &rec.Partition, &rec.Position
		p.write(w)
		return
	case event.Refused:
		notTaken(rec.Refusal).write(w)
		return
	}
	writeJSON(w, "application/json", status, struct {
		Result    event.Result `json:"result"`
		Partition int          `json:"partition"`
		Position  int64        `json:"position"`
		ID        string       `json:"id"`
		Source    string       `json:"source"`
	}{rec.Result, rec.Partition, rec.Position, ev.ID, ev.Source})
}

// append writes events to the log and waits for the commit.
func (i *ingest) append(ctx context.Context, events []event.Event) ([]event.Receipt, *problem) {
	limited, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	receipts, err := i.appender.Append(limited, event.Topic, events)
	if err == nil && len(receipts) != len(events) {
		err = fmt.Errorf("the appender answered %d of %d events", len(receipts), len(events))
	}
	if err != nil {
		return nil, i.troubles.answer(ctx, err, "append",
			"the database could not take the events now; send them again, what is in the log already will be a duplicate")
	}
	return receipts, nil
}
