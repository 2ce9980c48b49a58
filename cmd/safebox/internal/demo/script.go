package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// Tally is what must become of a script's events.
type Tally struct {
	Lines    int              `json:"lines"`  // with the repeated ones
	Events   int64            `json:"events"` // distinct
	Applied  int64            `json:"applied"`
	Rejected int64            `json:"rejected"`
	Reasons  map[string]int64 `json:"reasons"`
	Balances map[string]int64 `json:"balances"` // sats by npub, for every wallet
}

// Total is the sum of the balances.
func (t Tally) Total() int64 {
	var sum int64
	for _, b := range t.Balances {
		sum += b
	}
	return sum
}

// Script is a run of events as JSON lines. The setup comes first: in the activity there are transfers, whose payees must
// have been registered before.
type Script struct {
	Setup, Activity []rawLine
	Tally           Tally
}

// Wallets is the number of wallets that a script registers.
const Wallets = 200

// NewScript makes the events that belong to a seed: the registrations and opening credits of the wallets, and then as
// many lines of mixed activity as asked for. One in fifty of those repeats an earlier line, and one in twelve is
// something that must be rejected.
func NewScript(seed uint64, lines int) Script {
	w := &writer{
		rng: rand.New(rand.NewPCG(seed, 0x5afeb0c5)), // must be the same every time, and keeps no secret
		at:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	w.source = fmt.Sprintf("/demo/%d", seed)
	w.tally = Tally{Reasons: map[string]int64{}, Balances: map[string]int64{}}
	// Every wallet could pay for all of the activity alone, so no payment depends on what came before it.
	opening := int64(lines+1) * (mostSats + mostFee)
	for i := range Wallets {
		npub := w.stranger()
		w.npubs = append(w.npubs, npub)
		w.emit(event.TypeWalletRegistered, npub, data{
			"npub": npub, "handle": w.handle(i), "home_relay": "wss://relay.example.org", "onboard_code": "demo", "currency_code": "USD",
		}, "")
		w.emit(event.TypeFundsCredited, npub, data{"amount": opening, "memo": "opening"}, "")
		w.tally.Balances[npub] = opening
	}
	setup := w.lines
	w.lines = nil
	for len(w.lines) < lines {
		w.activity()
	}
	w.tally.Lines = len(setup) + len(w.lines)
	return Script{Setup: setup, Activity: w.lines, Tally: w.tally}
}

type (
	rawLine = json.RawMessage
	data    map[string]any
)

// writer writes a script and keeps the tally.
type writer struct {
	rng    *rand.Rand
	source string
	at     time.Time
	serial int
	lines  []rawLine
	npubs  []string
	unpaid []quote
	paid   []quote
	tally  Tally
}

type quote struct {
	npub, id string
	amount   int64
}

// emit writes an event that must be rejected for the reason, or applied if there is none.
func (w *writer) emit(typ, subject string, d data, reason string) {
	w.serial++
	w.at = w.at.Add(time.Second)
	line, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("e-%d", w.serial), "source": w.source, "type": typ, "subject": subject,
		"time": w.at.Format(time.RFC3339), "datacontenttype": "application/json", "data": d,
	})
	if err != nil {
		panic(fmt.Sprintf("demo: an event that JSON cannot hold: %v", err))
	}
	w.lines = append(w.lines, line)
	w.tally.Events++
	if reason == "" {
		w.tally.Applied++
		return
	}
	w.tally.Rejected++
	w.tally.Reasons[reason]++
}

func (w *writer) handle(i int) string { return fmt.Sprintf("demo-%03d", i) }

// stranger is a public key that no event has registered.
func (w *writer) stranger() string {
	var key [32]byte
	for i := range key {
		key[i] = byte(w.rng.Uint32())
	}
	return event.EncodeNpub(key)
}

// somebody is a wallet of the script.
func (w *writer) somebody() string { return w.npubs[w.rng.IntN(len(w.npubs))] }
