package ledger

import (
	"cmp"
	"slices"
)

// Changes are what the folds of a batch made of its state, ready to be stored by set-based statements. Each row is named
// once, with its last values; lists of rows that are there already come in key order.
type Changes struct {
	Registered []*Account // to insert, in the order of their events
	Moved      []*Account // to update: Balance and EntryCount
	Profiled   []*Account // to update: of CustomHandle, Owner, HomeRelay, AccessKey and CurrencyCode what is Changed
	Created    []*Quote   // to insert
	Settled    []*Quote   // to update: Paid
	Secrets    []Secret   // the only secret that each of these wallets keeps
	NWCEvents  []string   // to insert
	Nonces     []NonceUse // to insert
	Offers     []Offer    // to insert
	Rates      []*Rate    // to update
	Entries    []Entry    // to insert
}

// Changes collects what has changed since the state was loaded. It is called once, after the last Fold.
func (s *State) Changes() Changes {
	c := s.changes
	for _, a := range s.accounts {
		switch {
		case a.ID == 0:
			continue // among Registered, with its last values
		case a.moved && a.changed != 0:
			c.Moved, c.Profiled = append(c.Moved, a), append(c.Profiled, a)
		case a.moved:
			c.Moved = append(c.Moved, a)
		case a.changed != 0:
			c.Profiled = append(c.Profiled, a)
		}
	}
	byNpub := func(a, b *Account) int { return cmp.Compare(a.Npub, b.Npub) }
	slices.SortFunc(c.Moved, byNpub)
	slices.SortFunc(c.Profiled, byNpub)
	for _, same := range s.quotes {
		for _, q := range same {
			if q.settled {
				c.Settled = append(c.Settled, q)
			}
		}
	}
	slices.SortFunc(c.Settled, func(a, b *Quote) int { return cmp.Compare(a.ID, b.ID) })
	for npub, secret := range s.rotated {
		c.Secrets = append(c.Secrets, Secret{secret, npub})
	}
	slices.SortFunc(c.Secrets, func(a, b Secret) int { return cmp.Compare(a.Npub, b.Npub) })
	for code := range s.quoted {
		c.Rates = append(c.Rates, s.rates[code])
	}
	slices.SortFunc(c.Rates, func(a, b *Rate) int { return cmp.Compare(a.Code, b.Code) })
	return c
}
