package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

// hostile makes bad events out of good ones: one thing of each is wrong, and which is known.
type hostile struct {
	rng  *rand.Rand
	base []map[string]any // one good event of each type
}

func newHostile(seed uint64) hostile {
	h := hostile{rng: rand.New(rand.NewPCG(seed, 1))}
	for line := range bytes.Lines(oneOfEach()) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			panic(err) // it is this package's own
		}
		h.base = append(h.base, e)
	}
	return h
}

// bad is the n-th bad event, and the field that must be named; "" for the event as a whole.
func (h hostile) bad(n int) (line []byte, id, field string) {
	e := maps.Clone(h.base[h.rng.IntN(len(h.base))])
	data := maps.Clone(e["data"].(map[string]any))
	id = fmt.Sprint("bad-", n)
	e["id"], e["source"], e["data"] = id, "/hostile", data
	member := slices.Sorted(maps.Keys(data))[h.rng.IntN(len(data))]
	one := func(values ...any) any { return values[h.rng.IntN(len(values))] }
	text := func() []byte {
		b, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		return b
	}
	switch h.rng.IntN(16) {
	case 0:
		field = one("specversion", "source", "type", "subject", "data").(string)
		delete(e, field)
	case 1:
		field = one("source", "type", "subject").(string)
		e[field] = one("", 7, true, []int{1}, map[string]int{}, "a\x07b", strings.Repeat("x", 2000))
	case 2:
		field, e["specversion"] = "specversion", one("0.3", "1", "2.0", 1)
	case 3:
		field, e["time"] = "time", one("yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "1969-01-01T00:00:00Z", 5)
	case 4:
		field, e["data"] = "data", one([]int{1}, "text", 7, true)
	case 5:
		field, e["type"] = "type", one("safebox.funds.stolen.v1", "safebox.funds.credited.v2", "x")
	case 6:
		field, e["data_base64"] = "data_base64", "AAAA"
		delete(e, "data")
	case 7:
		field, data[member] = "data."+member, one([]int{1}, map[string]int{"a": 1}, true)
	case 8:
		name := fmt.Sprintf("member%d", h.rng.IntN(1000))
		field, data[name] = "data."+name, one(1, "x", nil)
	case 9:
		field, data["nsec"] = "data.nsec", "anything"
	case 10:
		e["type"], e["data"] = event.TypeFundsCredited, map[string]any{"amount": one(0, -1, 1.5, 9007199254740992, "5", nil)}
		e["subject"], field = h.base[0]["subject"], "data.amount"
	case 11:
		npub := []byte(h.base[0]["subject"].(string))
		at := 5 + h.rng.IntN(len(npub)-5)
		npub[at] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"[(strings.IndexByte("qpzry9x8gf2tvdw0s3jn54khce6mua7l", npub[at])+1)%32]
		e["type"], e["data"] = event.TypeFundsTransferred, map[string]any{"to": string(npub), "amount": 1}
		e["subject"], field = h.base[0]["subject"], "data.to"
	case 12:
		e["type"], e["subject"] = event.TypeFundsDebited, h.base[0]["subject"]
		e["data"], field = map[string]any{"amount": 1, "fee": one(-1, 0.5, "0")}, "data.fee"
	case 13:
		e["type"], e["subject"] = event.TypeQuotePaid, h.base[0]["subject"]
		e["data"], field = map[string]any{"quote": one("", "a\nb", strings.Repeat("q", 513), nil, 1)}, "data.quote"
	case 14:
		field = "subject"
		return bytes.Replace(text(), []byte(`"subject":`), []byte(`"subject":"x","subject":`), 1), "", field
	case 15:
		e["memo"] = strings.Repeat("x", event.MaxSize)
		return text(), "", ""
	}
	return text(), id, field
}

// complaint is what was said about an event; none where it was taken.
type complaint struct{ id, field, reason string }

// Bad events, ten thousand in the long form, with good ones among them, through the file reader and through HTTP: each bad one
// is refused with its field and a reason, and each good one is applied.
func TestBadEventsAreRefusedWithFieldAndReasonAndGoodOnesBesideThemApplied(t *testing.T) {
	t.Parallel()
	const every, seed = 10, 20261127 // a good one after every so many
	bad := 1000                      // by each way; the long form has all ten thousand
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		bad = 5000
	}
	db := storagetest.Ready(t, dbtest.SQLite(t))
	h := newHostile(seed)
	credits := 0
	mixed := func(way string) (all [][]byte, want []complaint) {
		for _, line := range bytes.SplitAfter(oneOfEach(), []byte("\n")) {
			if len(line) > 0 {
				all, want = append(all, bytes.TrimSpace(line)), append(want, complaint{})
			}
		}
		for n := range bad {
			line, id, field := h.bad(n)
			all, want = append(all, line), append(want, complaint{id, field, "some"})
			if n%every == 0 {
				credits++
				all = append(all, fmt.Appendf(nil, `{"specversion":"1.0","source":"/%s","id":"good-%d","type":%q,"subject":%q,"data":{"amount":1}}`,
					way, n, event.TypeFundsCredited, h.base[0]["subject"]))
				want = append(want, complaint{})
			}
		}
		return all, want
	}
	check := func(way string, n int, line []byte, got, want complaint) {
		t.Helper()
		if (got.reason == "") != (want.reason == "") || got.field != want.field || want.id != "" && got.id != "" && got.id != want.id {
			t.Errorf("%s, seed %d, event %d: refused %+v, want %+v\n%.300s", way, seed, n, got, want, line)
		}
	}

	all, want := mixed("file")
	got := make([]complaint, len(all))
	sum, err := publish.Lines(storagetest.Context(t), db, bytes.NewReader(bytes.Join(all, []byte("\n"))), publish.Options{
		Problem: func(p publish.Problem) { got[p.Line-1] = complaint{p.ID, p.Field, p.Reason} },
	})
	if err != nil || sum.Refused != bad || sum.Conflicts != 0 {
		t.Fatalf("from the file: %d refused, %d in conflict, %v", sum.Refused, sum.Conflicts, err)
	}
	for n := range all {
		check("from the file", n, all[n], got[n], want[n])
	}

	server := httptest.NewServer(api.New(api.Options{Appender: db, Logger: slog.New(slog.DiscardHandler)}))
	defer server.Close()
	all, want = mixed("http")
	for from := 0; from < len(all); from += 1000 {
		to := min(from+1000, len(all))
		resp, err := http.Post(server.URL+"/v1/events", "application/cloudevents-batch+json", bytes.NewReader(batch(all[from:to]))) //nolint:noctx // a loopback address
		if err != nil {
			t.Fatal(err)
		}
		var answers struct {
			Results []struct{ ID, Field, Reason, Result string }
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err := json.Unmarshal(body, &answers); err != nil || len(answers.Results) != to-from {
			t.Fatalf("over HTTP: %d %v %.300s", resp.StatusCode, err, body)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range answers.Results {
			check("over HTTP", from+i, all[from+i], complaint{r.ID, r.Field, r.Reason}, want[from+i])
			if (r.Result == "refused") != (r.Reason != "") {
				t.Errorf("over HTTP, event %d: %+v", from+i, r)
			}
		}
	}

	replica := worker.New(worker.Options{
		DB: db, Instance: t.Name(), UntilIdle: true, Logger: slog.New(slog.DiscardHandler),
		Initialise: func(context.Context) (initlock.Result, error) {
			return initlock.Result{Outcome: initlock.OutcomeAlreadyReady}, nil
		},
	})
	if err := replica.Run(storagetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	audit, err := db.Audit(storagetest.Context(t), event.Topic, ledgerGroup)
	if err != nil || !audit.OK || audit.Rejected != 0 || audit.Parked != 0 || audit.Applied != int64(len(h.base)+credits) {
		t.Errorf("%+v, %v; want %d applied and nothing else", audit, err, len(h.base)+credits)
	}
}
