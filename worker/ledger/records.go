package ledger

import "github.com/safebox/safebox/worker/event"

func (s *State) receiveNWC(p event.NWCReceived) Reason {
	if s.nwcEvents[p.EventID] {
		return NWCEventSeen
	}
	s.nwcEvents[p.EventID] = true
	s.changes.NWCEvents = append(s.changes.NWCEvents, p.EventID)
	return ""
}

func (s *State) useNonce(c Command, p event.NonceUsed) Reason {
	n := Nonce{p.RequesterPubkey, p.Flow, p.Nonce}
	if s.nonces[n] {
		return NonceUsedBefore
	}
	s.nonces[n] = true
	s.changes.Nonces = append(s.changes.Nonces, NonceUse{Nonce: n, RequesterTS: p.RequesterTS, UsedAt: c.Time})
	return ""
}

func (s *State) openOffer(c Command, p event.OfferOpened) Reason {
	if s.offers[p.Nonce] {
		return NonceUsedBefore
	}
	s.offers[p.Nonce] = true
	s.changes.Offers = append(s.changes.Offers, Offer{OfferOpened: p, CreatedAt: c.Time})
	return ""
}

func (s *State) quoteCurrency(c Command, p event.CurrencyQuoted) Reason {
	r := s.rates[c.Subject]
	switch {
	case r == nil:
		return UnknownCurrency
	case !p.RefreshedAt.After(r.RefreshedAt):
		return StaleRate
	}
	r.Rate, r.RefreshedAt = p.Rate, p.RefreshedAt
	s.quoted[c.Subject] = true
	return ""
}
