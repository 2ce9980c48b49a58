package ledger_test

import (
	"fmt"
	"slices"

	"github.com/safebox/safebox/worker/ledger"
)

// memory keeps the ledger's tables as a database would: Load gives a batch what its keys name and nothing else, and
// Store writes the rows that Changes names, refusing what the schema's constraints refuse.
type memory struct {
	Wallets   []ledger.Account
	Quotes    []ledger.Quote
	Secrets   []ledger.Secret
	NWCEvents []string
	Nonces    []ledger.NonceUse
	Offers    []ledger.Offer
	Rates     []ledger.Rate
	Entries   []ledger.Entry
}

// clone copies the tables. Rows are never changed in place, only replaced, so that copies may share what they point to.
func (m *memory) clone() *memory {
	return &memory{
		slices.Clone(m.Wallets), slices.Clone(m.Quotes), slices.Clone(m.Secrets), slices.Clone(m.NWCEvents), slices.Clone(m.Nonces),
		slices.Clone(m.Offers), slices.Clone(m.Rates), slices.Clone(m.Entries),
	}
}

func among(list []string, value *string) bool { return value != nil && slices.Contains(list, *value) }

func (m *memory) load(k ledger.Keys) *ledger.State {
	s := ledger.NewState()
	for _, w := range m.Wallets {
		switch {
		case slices.Contains(k.Profiles, w.Npub):
			s.AddAccount(w)
		case slices.Contains(k.Balances(), w.Npub):
			s.AddBalance(w.ID, w.Npub, w.Balance, w.EntryCount)
		}
	}
	for _, w := range m.Wallets {
		if slices.Contains(k.Handles, w.Handle) {
			s.AddHandle(w.Handle, w.Npub)
		}
		if among(k.CustomHandles, w.CustomHandle) {
			s.AddCustomHandle(*w.CustomHandle, w.Npub)
		}
		if among(k.AccessKeys, w.AccessKey) {
			s.AddAccessKey(*w.AccessKey, w.Npub)
		}
		if among(k.EmergencyCodes, w.EmergencyCode) {
			s.AddEmergencyCode(*w.EmergencyCode, w.Npub)
		}
	}
	for _, v := range m.Secrets {
		if slices.Contains(k.NWCSecrets, v.Secret) {
			s.AddSecret(v.Secret, v.Npub)
		}
	}
	for _, q := range m.Quotes {
		if slices.Contains(k.Quotes, q.Quote) {
			s.AddQuote(q)
		}
	}
	for _, id := range m.NWCEvents {
		if slices.Contains(k.NWCEvents, id) {
			s.AddNWCEvent(id)
		}
	}
	for _, n := range m.Nonces {
		if slices.Contains(k.Nonces, n.Nonce) {
			s.AddNonce(n.Nonce)
		}
	}
	for _, o := range m.Offers {
		if slices.Contains(k.Offers, o.Nonce) {
			s.AddOffer(o.Nonce)
		}
	}
	for _, r := range m.Rates {
		if slices.Contains(k.Currencies, r.Code) {
			s.AddRate(r)
		}
	}
	return s
}

func (m *memory) store(c ledger.Changes) error {
	for _, a := range c.Registered {
		row := bare(*a)
		row.ID = int64(len(m.Wallets) + 1)
		m.Wallets = append(m.Wallets, row)
	}
	for _, a := range c.Moved {
		row := m.wallet(a.ID)
		row.Balance, row.EntryCount = a.Balance, a.EntryCount
	}
	for _, a := range c.Profiled {
		row := m.wallet(a.ID)
		row.CustomHandle, row.Owner, row.HomeRelay, row.AccessKey, row.CurrencyCode = a.CustomHandle, a.Owner, a.HomeRelay, a.AccessKey, a.CurrencyCode
	}
	for _, q := range c.Created {
		m.Quotes = append(m.Quotes, ledger.Quote{
			ID: int64(len(m.Quotes) + 1), Npub: q.Npub, Handle: q.Handle, Quote: q.Quote, Amount: q.Amount, Mint: q.Mint, Paid: q.Paid,
		})
	}
	for _, q := range c.Settled {
		m.Quotes[q.ID-1].Paid = q.Paid
	}
	for _, v := range c.Secrets {
		m.Secrets = slices.DeleteFunc(m.Secrets, func(old ledger.Secret) bool { return old.Npub == v.Npub })
	}
	m.Secrets = append(m.Secrets, c.Secrets...)
	slices.SortFunc(m.Secrets, func(a, b ledger.Secret) int {
		return slices.Compare([]string{a.Npub, a.Secret}, []string{b.Npub, b.Secret})
	})
	m.NWCEvents = append(m.NWCEvents, c.NWCEvents...)
	m.Nonces = append(m.Nonces, c.Nonces...)
	m.Offers = append(m.Offers, c.Offers...)
	for _, r := range c.Rates {
		i := slices.IndexFunc(m.Rates, func(old ledger.Rate) bool { return old.Code == r.Code })
		m.Rates[i] = *r
	}
	for _, e := range c.Entries {
		e.Wanted = 0 // which no row has
		m.Entries = append(m.Entries, e)
	}
	return m.check()
}

func (m *memory) wallet(id int64) *ledger.Account { return &m.Wallets[id-1] }

// bare is an account without what the fold notes about it.
func bare(a ledger.Account) ledger.Account {
	return ledger.Account{
		ID: a.ID, Npub: a.Npub, Handle: a.Handle, CustomHandle: a.CustomHandle, Owner: a.Owner, HomeRelay: a.HomeRelay, OnboardCode: a.OnboardCode,
		AccessKey: a.AccessKey, EmergencyCode: a.EmergencyCode, CurrencyCode: a.CurrencyCode, Balance: a.Balance,
		OpeningBalance: a.OpeningBalance, EntryCount: a.EntryCount,
	}
}

// check is what unique constraints and primary keys would find.
func (m *memory) check() error {
	seen := map[string]bool{}
	var err error
	unique := func(column, value string) {
		if seen[column+" "+value] {
			err = fmt.Errorf("%s %q is there twice", column, value)
		}
		seen[column+" "+value] = true
	}
	optional := func(column string, value *string) {
		if value != nil {
			unique(column, *value)
		}
	}
	for _, w := range m.Wallets {
		unique("npub", w.Npub)
		unique("handle", w.Handle)
		optional("custom handle", w.CustomHandle)
		optional("access key", w.AccessKey)
		optional("emergency code", w.EmergencyCode)
	}
	for _, v := range m.Secrets {
		unique("secret", v.Secret)
	}
	for _, q := range m.Quotes {
		if q.Npub != "" {
			unique("quote", q.Quote)
		}
	}
	for _, id := range m.NWCEvents {
		unique("NWC event", id)
	}
	for _, n := range m.Nonces {
		unique("nonce", fmt.Sprint(n.Nonce))
	}
	for _, o := range m.Offers {
		unique("offer", o.Nonce)
	}
	for _, e := range m.Entries {
		unique("entry", fmt.Sprint(e.Partition, e.Position, e.Leg))
		if e.Seq != 0 {
			unique("entry of a wallet", fmt.Sprint(e.Subject, e.Seq))
		}
	}
	return err
}

// process takes a batch through load, fold and store, as a lane does; an event that cannot be processed is passed over.
// It names what each event came to.
func (m *memory) process(batch []ledger.Command) (outcomes []string, err error) {
	s := m.load(ledger.KeysOf(batch))
	for _, c := range batch {
		out, err := s.Fold(c)
		if err != nil {
			outcomes = append(outcomes, "parked")
			continue
		}
		outcomes = append(outcomes, named(out))
	}
	return outcomes, m.store(s.Changes())
}
