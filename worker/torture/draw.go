package torture

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/safebox/safebox/worker/event"
)

// A Script draws what one client wants. The same seed and number draw the same events in the same order.
type Script struct {
	seed    uint64
	client  int // its number, from 0
	clients int // how many there are
	rng     *rand.Rand
	serial  int
	wallets int // registered so far
	due     []Event
	quotes  []Event  // created and not paid
	paid    []Event  // quote.paid events
	past    []*Event // acknowledged, the last of them
}

// The wallets of a client, by their number.
const (
	walletsOfClient = 24
	strange         = 1000 // from here on: never registered
	full            = 5    // this one holds nearly as much as a wallet may: nobody else pays into it, and it has no quotes
)

// NewScript makes the script of a client.
func NewScript(seed uint64, client, clients int) *Script {
	return &Script{seed: seed, client: client, clients: clients, rng: rand.New(rand.NewPCG(seed, uint64(client)))}
}

// npub is the public key of a client's wallet.
func npub(seed uint64, client, wallet int) string {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	binary.BigEndian.PutUint64(key[8:], uint64(client))
	binary.BigEndian.PutUint64(key[16:], uint64(wallet))
	return event.EncodeNpub(key)
}

// Batch draws the next events, which are sent together: 1 to 12.
func (s *Script) Batch() []Event {
	events := make([]Event, 1+s.rng.IntN(12))
	drawn := map[string]bool{}
	for i := range events {
		for events[i] = s.next(); drawn[events[i].ID]; { // nothing is sent twice in one batch
			events[i] = s.next()
		}
		drawn[events[i].ID] = true
	}
	for i := range events { // what is sent again later must have been acknowledged by then
		if e := events[i]; e.Meant == Fresh {
			if s.past = append(s.past, &e); len(s.past) > 64 {
				s.past = s.past[1:]
			}
		}
	}
	return events
}

func (s *Script) next() Event {
	if len(s.due) > 0 {
		e := s.due[0]
		s.due = s.due[1:]
		return e
	}
	if s.wallets == 0 || s.wallets < walletsOfClient && s.rng.IntN(20) == 0 {
		return s.register()
	}
	wallet := s.rng.IntN(s.wallets)
	me := npub(s.seed, s.client, wallet)
	switch pick := s.rng.IntN(100); {
	case pick < 30:
		return s.event(credited, me, content{Amount: 1 + s.rng.Int64N(300)})
	case pick < 52:
		return s.event(debited, me, content{Amount: 1 + s.rng.Int64N(300), Fee: s.rng.Int64N(3)})
	case pick < 80:
		return s.event(transferred, me, content{To: s.payee(), Amount: 1 + s.rng.Int64N(300), Fee: s.rng.Int64N(3)})
	case pick < 84 && wallet != full:
		e := s.event(quoteMade, me, content{Quote: fmt.Sprintf("q-%d-%d", s.client, s.serial), Amount: 1 + s.rng.Int64N(300), Mint: "https://mint.example.org"})
		s.quotes = append(s.quotes, e)
		return e
	case pick < 88 && len(s.quotes) > 0:
		e := s.quotes[0]
		s.quotes = s.quotes[1:]
		s.paid = append(s.paid, e)
		return s.event(quotePaid, e.Subject, content{Quote: contentOf(e.Data).Quote})
	case pick < 89 && len(s.paid) > 0: // a second time, or by another wallet
		e := s.paid[s.rng.IntN(len(s.paid))]
		if wallet == full {
			me = e.Subject
		}
		return s.event(quotePaid, []string{e.Subject, me}[s.rng.IntN(2)], content{Quote: contentOf(e.Data).Quote})
	case pick < 90 && len(s.paid) > 0:
		e := s.paid[s.rng.IntN(len(s.paid))]
		d := contentOf(e.Data)
		return s.event(quoteMade, e.Subject, content{Quote: d.Quote, Amount: d.Amount, Mint: d.Mint})
	case pick < 91:
		return s.event(credited, npub(s.seed, s.client, strange+s.rng.IntN(3)), content{Amount: 5})
	case pick < 92:
		return s.event(registered, me, content{Npub: me, Handle: fmt.Sprintf("again-%d-%d", s.client, s.serial), Relay: relay, Code: code})
	case pick < 93 && s.wallets > full:
		return s.event(credited, npub(s.seed, s.client, full), content{Amount: maxAmount - 100})
	case pick < 95:
		return s.bad(me)
	case len(s.past) > 0:
		return s.again()
	}
	return s.event(debited, me, content{Amount: maxAmount})
}

const (
	relay = "wss://relay.example.org"
	code  = "torture"
)

// register opens the next wallet, and what follows at once: sats, and a payment to it from one that is there. Some handles are
// wanted by every client.
func (s *Script) register() Event {
	n := s.wallets
	s.wallets++
	me := npub(s.seed, s.client, n)
	handle := fmt.Sprintf("h-%d-%d", s.client, n)
	if n%8 == 7 {
		handle = fmt.Sprintf("contested-%d", n)
	}
	e := s.event(registered, me, content{Npub: me, Handle: handle, Relay: relay, Code: code})
	s.due = append(s.due, s.event(credited, me, content{Amount: 1000}))
	if n > 0 {
		s.due = append(s.due, s.event(transferred, npub(s.seed, s.client, s.rng.IntN(n)), content{To: me, Amount: 1}))
	}
	return e
}

// payee is a wallet of any client: nearly always one that is or will be there.
func (s *Script) payee() string {
	if s.rng.IntN(50) == 0 {
		return npub(s.seed, s.client, strange)
	}
	n := s.rng.IntN(max(2, s.wallets))
	if n == full {
		n = 0
	}
	return npub(s.seed, s.rng.IntN(s.clients), n)
}

// bad is an event that the door refuses.
func (s *Script) bad(subject string) Event {
	e := s.event(credited, subject, content{})
	e.Data, e.Meant = json.RawMessage(fmt.Sprintf(`{"amount":%d}`, -s.rng.Int64N(2))), Bad
	return e
}

// again is an event that was acknowledged, as it was or with another amount.
func (s *Script) again() Event {
	e := *s.past[s.rng.IntN(len(s.past))]
	e.Meant = Repeat
	if s.rng.IntN(3) == 0 && e.Type == credited {
		d := contentOf(e.Data)
		d.Amount++
		e.Data, e.Meant = d.json(), Conflict
	}
	return e
}

func (s *Script) event(typ, subject string, d content) Event {
	s.serial++
	return Event{Source: fmt.Sprintf("/torture/%d", s.client), ID: fmt.Sprint(s.serial), Type: typ, Subject: subject, Data: d.json()}
}

func (c content) json() json.RawMessage {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

// Envelope is the event as CloudEvents' JSON.
func (e Event) Envelope() json.RawMessage {
	b, err := json.Marshal(map[string]any{
		"specversion": "1.0", "source": e.Source, "id": e.ID, "type": fullType(e.Type), "subject": e.Subject,
		"time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "data": e.Data,
	})
	if err != nil {
		panic(err) // Data is JSON
	}
	return b
}
