package ledger

import (
	"time"

	"github.com/safebox/safebox/worker/event"
)

// shadow is the ledger's state of all wallets in memory: what a rebuild loads from and stores to in the place of a database.
type shadow struct {
	accounts  map[string]*shadowAccount
	handles   map[string]string // value → npub, as below; neither is ever freed
	codes     map[string]string
	held      map[held]string     // a value that changes hands → the wallet that had it, or several
	custom    map[string]string   // value → npub, now
	keys      map[string]string   // the same
	secrets   map[string]string   // the same
	secretOf  map[string]string   // npub → its secret
	quotes    map[string][]*Quote // those that the log made, and older ones that it names
	nwcEvents map[string]bool
	nonces    map[Nonce]bool
	offers    map[string]bool
	rates     map[string]*Rate
	ids       int64
}

type shadowAccount struct {
	Account
	adopted    bool      // it did not come by an event
	registered time.Time // when that event was recorded
	highest    int64     // the most it ever had
}

// held is a value that one wallet at a time may have, and that it may give up.
type held struct{ column, value string }

const (
	customHandle = "custom_handle"
	accessKey    = "access_key"
	nwcSecret    = "nwc_secret"
	several      = "*"
)

func newShadow() *shadow {
	return &shadow{
		accounts: map[string]*shadowAccount{}, handles: map[string]string{}, codes: map[string]string{}, held: map[held]string{},
		custom: map[string]string{}, keys: map[string]string{}, secrets: map[string]string{}, secretOf: map[string]string{},
		quotes: map[string][]*Quote{}, nwcEvents: map[string]bool{}, nonces: map[Nonce]bool{}, offers: map[string]bool{},
		rates: map[string]*Rate{},
	}
}

// adopt adds a wallet as it was before its first event, as far as that is known.
func (s *shadow) adopt(a Account) {
	a.Balance, a.EntryCount = a.OpeningBalance, 0
	s.add(a).adopted = true
}

func (s *shadow) add(a Account) *shadowAccount {
	s.ids++
	a.ID = s.ids
	known := &shadowAccount{Account: a, highest: a.Balance}
	s.accounts[a.Npub] = known
	s.handles[a.Handle] = a.Npub
	if a.EmergencyCode != nil {
		s.codes[*a.EmergencyCode] = a.Npub
	}
	s.take(s.custom, customHandle, nil, a.CustomHandle, a.Npub)
	s.take(s.keys, accessKey, nil, a.AccessKey, a.Npub)
	return known
}

// take lets a wallet have a value in the place of another.
func (s *shadow) take(owners map[string]string, column string, old, value *string, npub string) {
	if old != nil && owners[*old] == npub {
		delete(owners, *old)
	}
	if value == nil {
		return
	}
	owners[*value] = npub
	h := held{column, *value}
	if by, ok := s.held[h]; ok && by != npub {
		s.held[h] = several
	} else {
		s.held[h] = npub
	}
}

// load gives the state that a command may touch. Of values that change hands it gives the owners only when told to.
func (s *shadow) load(k Keys, owners bool) *State {
	state := NewState()
	for _, npub := range k.Npubs {
		if a := s.accounts[npub]; a != nil {
			state.AddAccount(a.Account)
		}
	}
	add := func(from map[string]string, values []string, to func(value, npub string)) {
		for _, v := range values {
			if npub, ok := from[v]; ok {
				to(v, npub)
			}
		}
	}
	add(s.handles, k.Handles, state.AddHandle)
	add(s.codes, k.EmergencyCodes, state.AddEmergencyCode)
	if owners {
		add(s.custom, k.CustomHandles, state.AddCustomHandle)
		add(s.keys, k.AccessKeys, state.AddAccessKey)
		add(s.secrets, k.NWCSecrets, state.AddSecret)
	}
	for _, quote := range k.Quotes {
		for _, q := range s.quotes[quote] {
			state.AddQuote(*q)
		}
	}
	for _, id := range k.NWCEvents {
		if s.nwcEvents[id] {
			state.AddNWCEvent(id)
		}
	}
	for _, n := range k.Nonces {
		if s.nonces[n] {
			state.AddNonce(n)
		}
	}
	for _, nonce := range k.Offers {
		if s.offers[nonce] {
			state.AddOffer(nonce)
		}
	}
	for _, code := range k.Currencies {
		if r := s.rates[code]; r != nil {
			state.AddRate(*r)
		}
	}
	return state
}

// store keeps what the fold of one command made.
func (s *shadow) store(c Changes, recorded time.Time) {
	for _, a := range c.Registered {
		s.add(*a).registered = recorded
	}
	for _, a := range c.Profiled {
		known := s.accounts[a.Npub]
		s.take(s.custom, customHandle, known.CustomHandle, a.CustomHandle, a.Npub)
		s.take(s.keys, accessKey, known.AccessKey, a.AccessKey, a.Npub)
		known.CustomHandle, known.Owner, known.HomeRelay, known.AccessKey, known.CurrencyCode = a.CustomHandle, a.Owner, a.HomeRelay, a.AccessKey, a.CurrencyCode
	}
	for _, a := range c.Moved {
		known := s.accounts[a.Npub]
		known.Balance, known.EntryCount = a.Balance, a.EntryCount
		known.highest = max(known.highest, a.Balance)
	}
	for _, x := range c.Secrets {
		old, had := s.secretOf[x.Npub]
		s.secretOf[x.Npub] = x.Secret
		if had {
			s.take(s.secrets, nwcSecret, &old, &x.Secret, x.Npub)
		} else {
			s.take(s.secrets, nwcSecret, nil, &x.Secret, x.Npub)
		}
	}
	for _, q := range c.Created {
		s.addQuote(*q)
	}
	for _, q := range c.Settled {
		for _, known := range s.quotes[q.Quote] {
			if known.ID == q.ID {
				known.Paid, known.settled = true, true
			}
		}
	}
	for _, id := range c.NWCEvents {
		s.nwcEvents[id] = true
	}
	for _, n := range c.Nonces {
		s.nonces[n.Nonce] = true
	}
	for _, o := range c.Offers {
		s.offers[o.Nonce] = true
	}
	for _, r := range c.Rates {
		*s.rates[r.Code] = *r
	}
}

func (s *shadow) addQuote(q Quote) {
	s.ids++
	q.ID = s.ids
	s.quotes[q.Quote] = append(s.quotes[q.Quote], &q)
}

// count is how many entries a wallet has.
func (s *shadow) count(npub string) int64 {
	if a := s.accounts[npub]; a != nil {
		return a.EntryCount
	}
	return 0
}

// set puts a wallet where an entry says it was, so that one breach is not found again in every entry after it.
func (s *shadow) set(e Entry) {
	if a := s.accounts[e.Subject]; a != nil && e.Seq > 0 {
		a.Balance, a.EntryCount = min(max(e.Balance, -event.MaxAmount), event.MaxAmount), e.Seq
		a.highest = max(a.highest, a.Balance)
	}
}
