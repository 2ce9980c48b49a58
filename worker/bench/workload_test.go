package bench_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/bench"
	"github.com/safebox/safebox/worker/event"
)

func TestAWorkloadFollowsFromItsShape(t *testing.T) {
	s := bench.Shape{Events: 2000, Wallets: 50, Zipf: 1, Hot: 0.2, Seed: 3}
	again := slices.Collect(s.Activity())
	if diff := cmp.Diff(slices.Collect(s.Activity()), again); diff != "" {
		t.Errorf("the same shape made other events:\n%s", diff)
	}
	s.Seed++
	if cmp.Equal(slices.Collect(s.Activity()), again) {
		t.Error("another seed made the same events")
	}
}

// The door checks what the log does not.
func TestEachEventOfAWorkloadIsOneThatTheDoorTakes(t *testing.T) {
	s := bench.Shape{Events: 5000, Wallets: 40, Seed: 1}
	seen := map[string]bool{}
	for _, e := range append(slices.Collect(s.Opening()), slices.Collect(s.Activity())...) {
		line, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
			"time": e.Time.Format(time.RFC3339Nano), "data": json.RawMessage(e.Data),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := event.Decode(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if seen[e.ID] {
			t.Errorf("%s comes twice", e.ID)
		}
		seen[e.ID] = true
	}
	if want := s.Opened() + s.Events; len(seen) != want {
		t.Errorf("%d events, want %d", len(seen), want)
	}
}

func TestTheShareOfAWalletIsAsTheShapeSays(t *testing.T) {
	const events, wallets = 20_000, 1000
	harmonic := 0.0
	for k := 1; k <= wallets; k++ {
		harmonic += 1 / float64(k)
	}
	for _, c := range []struct {
		name  string
		shape bench.Shape
		want  float64
	}{
		{"uniform", bench.Shape{}, 1.0 / wallets},
		{"Zipf", bench.Shape{Zipf: 1}, 1 / harmonic},
		{"hot", bench.Shape{Hot: 0.5}, 0.5 + 0.5/wallets},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.shape
			s.Events, s.Wallets, s.Seed = events, wallets, 1
			n := 0
			for e := range s.Activity() {
				if e.Subject == bench.Npub(0) {
					n++
				}
			}
			if got := float64(n) / events; got < c.want-0.02 || got > c.want+0.02 {
				t.Errorf("the first wallet has %.4f of the events, want about %.4f", got, c.want)
			}
		})
	}
}

func TestAnImpossibleShapeIsRefused(t *testing.T) {
	for _, s := range []bench.Shape{
		{Events: 0, Wallets: 2},
		{Events: bench.MaxEvents + 1, Wallets: 2},
		{Events: 1, Wallets: 1},
		{Events: 1, Wallets: bench.MaxWallets + 1},
		{Events: 1, Wallets: 2, Zipf: -1},
		{Events: 1, Wallets: 2, Hot: 1.1},
	} {
		if s.Check() == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

func TestPercentilesAreByNearestRank(t *testing.T) {
	var of []time.Duration
	for i := 200; i > 0; i-- {
		of = append(of, time.Duration(i)*time.Millisecond)
	}
	want := bench.Latency{Count: 200, P50: 100, P90: 180, P99: 198, Max: 200}
	if diff := cmp.Diff(want, bench.NewLatency(of)); diff != "" {
		t.Error(diff)
	}
	if got := bench.NewLatency(nil); got != (bench.Latency{}) {
		t.Errorf("nothing measured gives %+v", got)
	}
}
