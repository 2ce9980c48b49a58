package demo_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/demo"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func TestScriptFollowsFromItsSeedAlone(t *testing.T) {
	first := demo.NewScript(4, 500)
	if !reflect.DeepEqual(first, demo.NewScript(4, 500)) {
		t.Error("the same seed made two scripts")
	}
	if reflect.DeepEqual(first, demo.NewScript(5, 500)) {
		t.Error("two seeds made the same script")
	}
}

// Invariant 1: whatever order the partitions are processed in, the tally comes out.
func TestTallyHoldsInEveryOrderOfThePartitions(t *testing.T) {
	for seed := range uint64(10) {
		script := demo.NewScript(seed, 500)
		order := rand.New(rand.NewPCG(seed, 0)) // an order, and no secret
		state := ledger.NewState()
		state.AddRate(ledger.Rate{Code: "USD"})
		got := demo.Tally{Lines: script.Tally.Lines, Reasons: map[string]int64{}, Balances: map[string]int64{}}
		seen := map[string]bool{}
		for _, part := range [][]event.Event{decode(t, script.Setup), decode(t, script.Activity)} {
			for _, ev := range interleave(part, seen, order) {
				payload, err := event.DecodePayload(ev.Type, ev.Data)
				if err != nil {
					t.Fatal(err)
				}
				got.Events++
				out, err := state.Fold(ledger.Command{Record: event.Record{Event: ev, Position: got.Events}, Payload: payload})
				if err != nil {
					t.Fatal(err)
				}
				if out.Kind == ledger.Applied {
					got.Applied++
				} else {
					got.Rejected++
					got.Reasons[string(out.Reason)]++
				}
			}
		}
		for _, w := range state.Changes().Registered {
			got.Balances[w.Npub] = w.Balance
		}
		if diff := cmp.Diff(script.Tally, got); diff != "" {
			t.Fatalf("seed %d (-tally +fold):\n%s", seed, diff)
		}
	}
}

func decode[T ~[]byte](t *testing.T, lines []T) []event.Event {
	events := make([]event.Event, len(lines))
	for i, line := range lines {
		ev, err := event.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		events[i] = ev
	}
	return events
}

// interleave drops what was seen before, as the log does, and mixes the partitions, each of which keeps its order.
func interleave(events []event.Event, seen map[string]bool, order *rand.Rand) []event.Event {
	var partitions [event.Partitions][]event.Event
	var slots []int
	for _, ev := range events {
		if seen[ev.ID] {
			continue
		}
		seen[ev.ID] = true
		p := event.Partition(ev.Subject)
		partitions[p] = append(partitions[p], ev)
		slots = append(slots, p)
	}
	order.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
	mixed := make([]event.Event, len(slots))
	for i, p := range slots {
		mixed[i], partitions[p] = partitions[p][0], partitions[p][1:]
	}
	return mixed
}
