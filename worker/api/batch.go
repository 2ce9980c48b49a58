package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/safebox/safebox/worker/event"
)

// answer is what became of one event of a batch.
type answer struct {
	ID        string `json:"id"`
	Source    string `json:"source"`
	Result    string `json:"result"` // appended, duplicate, conflict or refused
	Field     string `json:"field,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Partition *int   `json:"partition,omitempty"`
	Position  *int64 `json:"position,omitempty"`
}

// answers are those of a batch, each at the index of its event, with their sums.
type answers struct {
	Results    []answer `json:"results"`
	Appended   int      `json:"appended"`
	Duplicates int      `json:"duplicates"`
	Conflicts  int      `json:"conflicts"`
	Refused    int      `json:"refused"`
}

// batch takes an array of events. The good ones are appended in one transaction, beside the bad ones.
func (i *ingest) batch(w http.ResponseWriter, r *http.Request) {
	b, p := body(w, r, batchLimit)
	if p != nil {
		p.write(w)
		return
	}
	decoded, err := event.DecodeBatch(b)
	if err != nil {
		i.unreadable(w, err)
		return
	}
	out := answers{Results: make([]answer, len(decoded))}
	events := make([]event.Event, 0, len(decoded))
	at := make([]int, 0, len(decoded)) // the index of each of events in the batch
	for n, d := range decoded {
		if d.Refusal != nil {
			out.refuse(n, d.Refusal)
			continue
		}
		events, at = append(events, d.Event), append(at, n)
	}
	if len(events) > 0 {
		receipts, p := i.append(r.Context(), events)
		if p != nil {
			p.write(w)
			return
		}
		for k := range receipts {
			out.receive(at[k], events[k], &receipts[k])
		}
	}
	if out.Refused > 0 {
		i.count(b, decoded)
	}
	writeJSON(w, "application/json", http.StatusOK, out)
}

// unreadable answers a batch that is no array of at most event.MaxBatch elements.
func (i *ingest) unreadable(w http.ResponseWriter, err error) {
	var r *event.Refusal
	switch {
	case errors.Is(err, event.ErrBatchTooLong):
		plain(http.StatusRequestEntityTooLarge, err.Error()).write(w)
	case errors.As(err, &r):
		malformed(r).write(w)
	default:
		i.logger.Error("http: decoding a batch failed in an unforeseen way; this is a bug", "error", err)
		internal().write(w)
	}
}

func (a *answers) refuse(n int, r *event.Refusal) {
	a.Refused++
	a.Results[n] = answer{ID: r.ID, Source: r.Source, Result: refused, Field: r.Field, Reason: r.Reason}
}

func (a *answers) receive(n int, ev event.Event, rec *event.Receipt) {
	switch rec.Result {
	case event.Refused:
		a.refuse(n, rec.Refusal)
		return
	case event.Appended:
		a.Appended++
	case event.Duplicate:
		a.Duplicates++
	case event.Conflict:
		a.Conflicts++
	}
	a.Results[n] = answer{
		ID: ev.ID, Source: ev.Source, Result: string(rec.Result), Partition: &rec.Partition, Position: &rec.Position,
	}
	if rec.Result == event.Conflict {
		a.Results[n].Reason = "the log has an event of this source and id with other content"
	}
}

// count tells the observer the types of the refused events, as far as they can be read.
func (i *ingest) count(b []byte, decoded []event.Decoded) {
	var heads []struct{ Type string }
	_ = json.Unmarshal(b, &heads) // goes on past elements of another shape, whose types stay unknown
	byType := map[string]int{}
	for n, d := range decoded {
		switch {
		case d.Refusal == nil:
		case n < len(heads):
			byType[heads[n].Type]++
		default:
			byType[""]++
		}
	}
	for typ, n := range byType {
		i.observer.Appended(typ, refused, n)
	}
}
