package ledger

import "github.com/safebox/safebox/worker/event"

func (s *State) register(p event.WalletRegistered) Reason {
	switch {
	case s.accounts[p.Npub] != nil:
		return NpubTaken
	case s.handles[p.Handle] != "":
		return HandleTaken
	case taken(s.customHandles, p.CustomHandle, p.Npub):
		return CustomHandleTaken
	case taken(s.accessKeys, p.AccessKey, p.Npub):
		return AccessKeyTaken
	case taken(s.emergencyCodes, p.EmergencyCode, p.Npub):
		return EmergencyCodeTaken
	}
	a := &Account{
		Npub: p.Npub, Handle: p.Handle, CustomHandle: p.CustomHandle, Owner: p.Owner, HomeRelay: p.HomeRelay,
		OnboardCode: p.OnboardCode, AccessKey: p.AccessKey, EmergencyCode: p.EmergencyCode, CurrencyCode: p.CurrencyCode,
	}
	s.accounts[a.Npub] = a
	s.own(a)
	s.changes.Registered = append(s.changes.Registered, a)
	return ""
}

func (s *State) update(a *Account, p event.WalletUpdated) Reason {
	if taken(s.customHandles, p.CustomHandle.Value, a.Npub) {
		return CustomHandleTaken
	}
	if p.CustomHandle.Set {
		replace(s.customHandles, &a.CustomHandle, p.CustomHandle.Value, a.Npub)
		a.changed |= ColumnCustomHandle
	}
	if p.Owner.Set {
		a.Owner = p.Owner.Value
		a.changed |= ColumnOwner
	}
	if p.HomeRelay != nil {
		a.HomeRelay = *p.HomeRelay
		a.changed |= ColumnHomeRelay
	}
	if p.CurrencyCode.Set {
		a.CurrencyCode = p.CurrencyCode.Value
		a.changed |= ColumnCurrencyCode
	}
	return ""
}

func (s *State) rotateAccessKey(a *Account, p event.WalletAccessKeyRotated) Reason {
	if taken(s.accessKeys, p.AccessKey, a.Npub) {
		return AccessKeyTaken
	}
	replace(s.accessKeys, &a.AccessKey, p.AccessKey, a.Npub)
	a.changed |= ColumnAccessKey
	return ""
}

func (s *State) rotateNWC(a *Account, p event.WalletNWCRotated) Reason {
	if taken(s.secrets, &p.NWCSecret, a.Npub) {
		return NWCSecretTaken
	}
	for secret, npub := range s.secrets { // the few secrets that this batch names
		if npub == a.Npub {
			delete(s.secrets, secret)
		}
	}
	s.secrets[p.NWCSecret] = a.Npub
	s.rotated[a.Npub] = p.NWCSecret
	return ""
}

// taken tells whether another wallet than npub has the value.
func taken(owners map[string]string, value *string, npub string) bool {
	if value == nil {
		return false
	}
	owner := owners[*value]
	return owner != "" && owner != npub
}

// replace sets a wallet's unique value and frees the one it had.
func replace(owners map[string]string, field **string, value *string, npub string) {
	if *field != nil {
		delete(owners, **field)
	}
	if value != nil {
		owners[*value] = npub
	}
	*field = value
}
