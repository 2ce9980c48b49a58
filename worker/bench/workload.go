package bench

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// The limits of a shape.
const (
	MaxEvents  = 10_000_000
	MaxWallets = 1_000_000
)

// Shape says what a workload is made of.
type Shape struct {
	Events  int     `json:"events"`  // of activity, beside the two that open each wallet
	Wallets int     `json:"wallets"` // at least two
	Zipf    float64 `json:"zipf"`    // the k-th wallet gets a share of 1/k^Zipf; 0: all the same
	Hot     float64 `json:"hot"`     // the share of the events that is on one wallet, from 0 to 1
	Seed    uint64  `json:"seed"`
}

// Check tells what is wrong with a shape.
func (s Shape) Check() error {
	switch {
	case s.Events < 1 || s.Events > MaxEvents:
		return fmt.Errorf("events: expected 1 to %d", MaxEvents)
	case s.Wallets < 2 || s.Wallets > MaxWallets:
		return fmt.Errorf("wallets: expected 2 to %d", MaxWallets)
	case !(s.Zipf >= 0 && s.Zipf <= 10):
		return fmt.Errorf("zipf: expected an exponent from 0 to 10")
	case !(s.Hot >= 0 && s.Hot <= 1):
		return fmt.Errorf("hot: expected a share from 0 to 1")
	}
	return nil
}

// Opened is the number of events that open the wallets.
func (s Shape) Opened() int { return 2 * s.Wallets }

// most is the largest amount of an event of the activity, in sats.
const most = 500

// Opening yields the events that register the wallets and give each so much that no payment fails for want of sats but those
// that are made to.
func (s Shape) Opening() iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		for i := range s.Wallets {
			npub := Npub(i)
			registered := numbered(2*i, event.TypeWalletRegistered, npub, fmt.Sprintf(
				`{"npub":%q,"handle":"h%d","home_relay":"wss://relay.example.org","onboard_code":"bench"}`, npub, i))
			credited := numbered(2*i+1, event.TypeFundsCredited, npub, fmt.Sprintf(`{"amount":%d}`, (s.Events+1)*(most+1)))
			if !yield(registered) || !yield(credited) {
				return
			}
		}
	}
}

// Activity yields the mixed events, in an order in which each is applied but one in a hundred, which spends more than there is.
func (s Shape) Activity() iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		w := writer{Shape: s, rng: rand.New(rand.NewPCG(s.Seed, 0x62656e6368)), next: s.Opened()} // the same every time
		w.weigh()
		for range s.Events {
			if !yield(w.event()) {
				return
			}
		}
	}
}

// Npub is the public key of the i-th wallet.
func Npub(i int) string {
	return event.EncodeNpub([32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
}

// epoch is when the first event happened; the others follow one a millisecond.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func numbered(i int, typ, subject, data string) event.Event {
	return event.Event{
		ID: fmt.Sprintf("e-%d", i), Source: "/bench", Type: typ, Subject: subject, Data: []byte(data),
		Time: epoch.Add(time.Duration(i) * time.Millisecond),
	}
}

type writer struct {
	Shape
	rng        *rand.Rand
	next       int       // number of the next event
	cumulative []float64 // of the wallets' weights; nil: all the same
	unpaid     []quote
}

type quote struct{ npub, id string }

func (w *writer) weigh() {
	if w.Zipf == 0 {
		return
	}
	w.cumulative = make([]float64, w.Wallets)
	sum := 0.0
	for k := range w.cumulative {
		sum += math.Pow(float64(k+1), -w.Zipf)
		w.cumulative[k] = sum
	}
}

// wallet draws a wallet's number by its weight.
func (w *writer) wallet() int {
	switch {
	case w.Hot > 0 && w.rng.Float64() < w.Hot:
		return 0
	case w.cumulative == nil:
		return w.rng.IntN(w.Wallets)
	default:
		return sort.SearchFloat64s(w.cumulative, w.rng.Float64()*w.cumulative[w.Wallets-1])
	}
}

func (w *writer) event() event.Event {
	from := w.wallet()
	npub, amount := Npub(from), w.rng.IntN(most)+1
	switch pick := w.rng.IntN(100); {
	case pick < 40:
		return w.numbered(event.TypeFundsCredited, npub, `{"amount":%d,"memo":"tip"}`, amount)
	case pick < 70:
		return w.numbered(event.TypeFundsDebited, npub, `{"amount":%d,"fee":1}`, amount)
	case pick < 92:
		to := (from + 1 + w.rng.IntN(w.Wallets-1)) % w.Wallets
		return w.numbered(event.TypeFundsTransferred, npub, `{"to":%q,"amount":%d}`, Npub(to), amount)
	case pick < 96 || pick < 98 && len(w.unpaid) == 0:
		q := quote{npub, fmt.Sprintf("q%d", w.next)}
		w.unpaid = append(w.unpaid, q)
		return w.numbered(event.TypeQuoteCreated, npub, `{"quote":%q,"amount":%d,"mint":"https://mint.example.org"}`, q.id, amount)
	case pick < 98:
		q := w.unpaid[0]
		w.unpaid = w.unpaid[1:]
		return w.numbered(event.TypeQuotePaid, q.npub, `{"quote":%q}`, q.id)
	case pick < 99:
		return w.numbered(event.TypeWalletUpdated, npub, `{"currency_code":"CAD"}`)
	default:
		return w.numbered(event.TypeFundsDebited, npub, `{"amount":%d}`, event.MaxAmount)
	}
}

func (w *writer) numbered(typ, subject, format string, args ...any) event.Event {
	w.next++
	return numbered(w.next-1, typ, subject, fmt.Sprintf(format, args...))
}
