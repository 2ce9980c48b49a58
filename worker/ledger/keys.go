package ledger

import (
	"slices"

	"github.com/safebox/safebox/worker/event"
)

// A Command is a record of the log with its decoded payload.
type Command struct {
	event.Record
	Payload event.Payload
}

// Nonce identifies a nonce of an NFC requester.
type Nonce struct{ RequesterPubkey, Flow, Nonce string }

// Transfer is where a transfer stands in the log, and the wallet that must exist for it.
type Transfer struct {
	event.Place
	Payee string
}

// Keys are what a batch may touch, sorted and without repeats.
type Keys struct {
	Npubs          []string // wallets: subjects and payees
	Profiles       []string // those of Npubs of which more than the balance matters
	Handles        []string
	CustomHandles  []string
	AccessKeys     []string // secret
	EmergencyCodes []string // secret
	NWCSecrets     []string // secret
	Quotes         []string
	NWCEvents      []string
	Nonces         []Nonce
	Offers         []string
	Currencies     []string
	Transfers      []Transfer // in the order of the batch
}

// KeysOf collects the keys of a batch.
func KeysOf(commands []Command) Keys {
	var k Keys
	for _, c := range commands {
		k.add(c)
	}
	for _, s := range []*[]string{
		&k.Npubs, &k.Profiles, &k.Handles, &k.CustomHandles, &k.AccessKeys, &k.EmergencyCodes, &k.NWCSecrets, &k.Quotes,
		&k.NWCEvents, &k.Offers, &k.Currencies,
	} {
		slices.Sort(*s)
		*s = slices.Compact(*s)
	}
	slices.SortFunc(k.Nonces, compareNonces)
	k.Nonces = slices.Compact(k.Nonces)
	return k
}

func (k *Keys) add(c Command) {
	switch p := c.Payload.(type) {
	case event.NonceUsed:
		k.Nonces = append(k.Nonces, Nonce{p.RequesterPubkey, p.Flow, p.Nonce})
		return
	case event.OfferOpened:
		k.Offers = append(k.Offers, p.Nonce)
		return
	case event.CurrencyQuoted:
		k.Currencies = append(k.Currencies, c.Subject)
		return
	case event.WalletRegistered:
		k.Handles = append(k.Handles, p.Handle)
		k.CustomHandles = appendSet(k.CustomHandles, p.CustomHandle)
		k.AccessKeys = appendSet(k.AccessKeys, p.AccessKey)
		k.EmergencyCodes = appendSet(k.EmergencyCodes, p.EmergencyCode)
	case event.WalletUpdated:
		k.Profiles = append(k.Profiles, c.Subject)
		k.CustomHandles = appendSet(k.CustomHandles, p.CustomHandle.Value)
	case event.WalletAccessKeyRotated:
		k.Profiles = append(k.Profiles, c.Subject)
		k.AccessKeys = appendSet(k.AccessKeys, p.AccessKey)
	case event.WalletNWCRotated:
		k.NWCSecrets = append(k.NWCSecrets, p.NWCSecret)
	case event.FundsTransferred:
		k.Npubs, k.Transfers = append(k.Npubs, p.To), append(k.Transfers, Transfer{c.Place(), p.To})
	case event.QuoteCreated:
		k.Profiles, k.Quotes = append(k.Profiles, c.Subject), append(k.Quotes, p.Quote)
	case event.QuotePaid:
		k.Profiles, k.Quotes = append(k.Profiles, c.Subject), append(k.Quotes, p.Quote)
	case event.NWCReceived:
		k.NWCEvents = append(k.NWCEvents, p.EventID)
	}
	k.Npubs = append(k.Npubs, c.Subject)
}

// Balances are the wallets of which only the balance matters: those of Npubs that are not among Profiles.
func (k Keys) Balances() []string {
	if len(k.Profiles) == 0 {
		return k.Npubs
	}
	npubs, profiles := make([]string, 0, len(k.Npubs)), k.Profiles
	for _, npub := range k.Npubs {
		if len(profiles) > 0 && profiles[0] == npub {
			profiles = profiles[1:]
			continue
		}
		npubs = append(npubs, npub)
	}
	return npubs
}

func appendSet(list []string, s *string) []string {
	if s == nil {
		return list
	}
	return append(list, *s)
}

func compareNonces(a, b Nonce) int {
	for _, pair := range [][2]string{{a.RequesterPubkey, b.RequesterPubkey}, {a.Flow, b.Flow}, {a.Nonce, b.Nonce}} {
		switch {
		case pair[0] < pair[1]:
			return -1
		case pair[0] > pair[1]:
			return 1
		}
	}
	return 0
}
