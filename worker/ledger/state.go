package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// Tx loads and stores the state of a batch inside the batch's transaction. A storage backend's event.Batch implements it.
type Tx interface {
	// Open opens the sealed secrets of an event of the log. The error is a *event.SealedError, and the event as it was.
	Open(e event.Record) (event.Record, error)
	// Load reads what the keys name.
	Load(ctx context.Context, k Keys) (*State, error)
	// Store writes the changes, on top of what other lanes have committed to the same wallets since Load. They are part of
	// the batch's commit.
	Store(ctx context.Context, c Changes) error
}

// Account is a wallet as the fold sees it.
type Account struct {
	ID             int64 // 0: registered in this batch
	Npub           string
	Handle         string
	CustomHandle   *string
	Owner          *string
	HomeRelay      string
	OnboardCode    string
	AccessKey      *string // secret
	EmergencyCode  *string // secret
	CurrencyCode   *string
	Balance        int64 // sats
	OpeningBalance int64 // sats
	EntryCount     int64

	moved   bool
	changed Columns
	base    struct{ balance, entries int64 } // as loaded
}

// Columns is a set of the columns of registeredsafebox that events change in place, but for those that every entry moves.
type Columns int16

// The bits are those by which the store_profiled of PostgreSQL knows the columns.
const (
	ColumnCustomHandle Columns = 1 << iota
	ColumnOwner
	ColumnHomeRelay
	ColumnAccessKey
	ColumnCurrencyCode
)

// Changed is what the batch has set. A Tx that does not lock what it loads stores no more than that: another program may set
// the rest between Load and Store.
func (a *Account) Changed() Columns { return a.changed }

// Base is the balance, in sats, and the entry count that the account was loaded with; zero for one registered in this batch.
// A Tx that does not lock what it loads stores the differences to it: between Load and Store other lanes may pay into a
// wallet, but only its own takes anything out of it.
func (a *Account) Base() (balance, entries int64) { return a.base.balance, a.base.entries }

// Quote is a row of paymentquote.
type Quote struct {
	ID     int64  // 0: created in this batch
	Npub   string // "" in rows that did not come by an event: their owner is known by the handle alone
	Handle string
	Quote  string
	Amount int64 // sats
	Mint   string
	Paid   bool

	settled bool // paid in this batch, where the row was there before
}

func (q *Quote) ownedBy(a *Account) bool {
	if q.Npub != "" {
		return q.Npub == a.Npub
	}
	return q.Handle == a.Handle
}

// Secret is a Nostr Wallet Connect secret and its wallet.
type Secret struct{ Secret, Npub string }

// NonceUse is a row of nfcrequesternonce.
type NonceUse struct {
	Nonce
	RequesterTS int64 // Unix seconds
	UsedAt      time.Time
}

// Offer is a row of receiveofferbootstrap.
type Offer struct {
	event.OfferOpened
	CreatedAt time.Time
}

// Rate is the rate of a currency.
type Rate struct {
	Code        string
	Rate        float64
	RefreshedAt time.Time // zero: never
}

// State is what a batch works on: what Load found, and what Fold has made of it since. It is used by one goroutine.
type State struct {
	accounts       map[string]*Account // by npub
	handles        map[string]string   // each of these four: value → npub of its wallet
	customHandles  map[string]string
	accessKeys     map[string]string
	emergencyCodes map[string]string
	secrets        map[string]string
	quotes         map[string][]*Quote
	nwcEvents      map[string]bool
	nonces         map[Nonce]bool
	offers         map[string]bool
	rates          map[string]*Rate
	awaited        map[event.Place]bool // the transfers of AddAwaited

	changes Changes
	rotated map[string]string // npub → its new secret
	quoted  map[string]bool   // currencies with a new rate
}

// NewState returns an empty state, to be filled by a Tx with the Add methods before the first Fold.
func NewState() *State {
	return &State{
		accounts: map[string]*Account{}, handles: map[string]string{}, customHandles: map[string]string{},
		accessKeys: map[string]string{}, emergencyCodes: map[string]string{}, secrets: map[string]string{},
		quotes: map[string][]*Quote{}, nwcEvents: map[string]bool{}, nonces: map[Nonce]bool{}, offers: map[string]bool{},
		rates: map[string]*Rate{}, awaited: map[event.Place]bool{}, rotated: map[string]string{}, quoted: map[string]bool{},
	}
}

// AddAccount adds a wallet that the database has, with the values it holds.
func (s *State) AddAccount(a Account) {
	s.add(&a)
	s.own(&a)
}

// AddBalance adds a wallet that is none of Keys.Profiles, with its row's id, its balance in sats and its entry count.
func (s *State) AddBalance(id int64, npub string, balance, entries int64) {
	s.add(&Account{ID: id, Npub: npub, Balance: balance, EntryCount: entries})
}

func (s *State) add(a *Account) {
	a.base.balance, a.base.entries = a.Balance, a.EntryCount
	s.accounts[a.Npub] = a
}

func (s *State) own(a *Account) {
	s.handles[a.Handle] = a.Npub
	for _, v := range []struct {
		owners map[string]string
		value  *string
	}{{s.customHandles, a.CustomHandle}, {s.accessKeys, a.AccessKey}, {s.emergencyCodes, a.EmergencyCode}} {
		if v.value != nil {
			v.owners[*v.value] = a.Npub
		}
	}
}

// AddHandle says that a handle is taken, and by whom. So do the next three for their values.
func (s *State) AddHandle(handle, npub string) { s.handles[handle] = npub }

// AddCustomHandle says that a custom handle is taken.
func (s *State) AddCustomHandle(handle, npub string) { s.customHandles[handle] = npub }

// AddAccessKey says that an access key is taken.
func (s *State) AddAccessKey(key, npub string) { s.accessKeys[key] = npub }

// AddEmergencyCode says that an emergency code is taken.
func (s *State) AddEmergencyCode(code, npub string) { s.emergencyCodes[code] = npub }

// AddSecret adds a Nostr Wallet Connect secret that the database has.
func (s *State) AddSecret(secret, npub string) { s.secrets[secret] = npub }

// AddQuote adds a payment quote that the database has.
func (s *State) AddQuote(q Quote) { s.quotes[q.Quote] = append(s.quotes[q.Quote], &q) }

// AddNWCEvent says that a Nostr Wallet Connect event was seen.
func (s *State) AddNWCEvent(id string) { s.nwcEvents[id] = true }

// AddNonce says that a nonce is used.
func (s *State) AddNonce(n Nonce) { s.nonces[n] = true }

// AddOffer says that an offer with this nonce is there.
func (s *State) AddOffer(nonce string) { s.offers[nonce] = true }

// AddRate adds a currency that the database has.
func (s *State) AddRate(r Rate) { s.rates[r.Code] = &r }

// Expect says how many commands will be folded, so that there is room for their entries.
func (s *State) Expect(commands int) {
	s.changes.Entries = slices.Grow(s.changes.Entries, commands+commands/4) // a transfer has two
}

// Unpayable are those of the transfers whose payee was not added.
func (s *State) Unpayable(transfers []Transfer) (unpayable []Transfer) {
	for _, t := range transfers {
		if s.accounts[t.Payee] == nil {
			unpayable = append(unpayable, t)
		}
	}
	return unpayable
}

// AddAwaited says that the transfer at this place was appended after the registration of its payee, which is in the log
// and not processed yet as far as this transaction can see.
func (s *State) AddAwaited(transfer event.Place) { s.awaited[transfer] = true }
