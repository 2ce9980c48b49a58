package ledger

import (
	"maps"
	"slices"
	"strings"
)

// differ reports that a row is not what the log makes.
func (r *rebuild) differ(check, subject, detail string) {
	r.audit.Find(Finding{check, subject, detail})
}

// compareWallets holds the wallets against those of the fold. It names columns, and shows no value: some are secret.
func (r *rebuild) compareWallets() error {
	var seen int64
	for after := ""; ; {
		page, err := r.books.Wallets(r.ctx, after, keysPage, false)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, stored := range page {
			made := r.shadow.accounts[stored.Npub]
			if made == nil {
				r.differ("rebuilt_wallet", stored.Npub, "there is a wallet, and the log makes none")
				continue
			}
			seen++
			if columns := differences(stored, made.Account); len(columns) > 0 {
				r.differ("rebuilt_wallet", stored.Npub, "the log makes other values of "+strings.Join(columns, ", "))
			}
		}
		after = page[len(page)-1].Npub
	}
	r.report.Wallets = int64(len(r.shadow.accounts))
	if seen < r.report.Wallets {
		return r.missingWallets()
	}
	return nil
}

// missingWallets goes through the wallets again for those that the log makes and the table lacks.
func (r *rebuild) missingWallets() error {
	missing := maps.Clone(r.shadow.accounts)
	for after := ""; ; {
		page, err := r.books.Wallets(r.ctx, after, keysPage, false)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, stored := range page {
			delete(missing, stored.Npub)
		}
		after = page[len(page)-1].Npub
	}
	for _, npub := range slices.Sorted(maps.Keys(missing)) {
		r.differ("rebuilt_wallet", npub, "the log makes a wallet, and there is none")
	}
	return nil
}

// differences names the columns in which two states of a wallet differ.
func differences(stored, made Account) (columns []string) {
	same := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	for _, c := range []struct {
		name string
		same bool
	}{
		{"handle", stored.Handle == made.Handle},
		{"custom_handle", same(stored.CustomHandle, made.CustomHandle)},
		{"owner", same(stored.Owner, made.Owner)},
		{"home_relay", stored.HomeRelay == made.HomeRelay},
		{"onboard_code", stored.OnboardCode == made.OnboardCode},
		{"access_key", same(stored.AccessKey, made.AccessKey)},
		{"emergency_code", same(stored.EmergencyCode, made.EmergencyCode)},
		{"currency_code", same(stored.CurrencyCode, made.CurrencyCode)},
		{"balance", stored.Balance == made.Balance},
		{"opening_balance", stored.OpeningBalance == made.OpeningBalance},
		{"entry_count", stored.EntryCount == made.EntryCount},
	} {
		if !c.same {
			columns = append(columns, c.name)
		}
	}
	return columns
}

// compareQuotes holds the rows of the quotes that the log made or paid against those of the fold.
func (r *rebuild) compareQuotes() error {
	for page := range slices.Chunk(slices.Sorted(maps.Keys(r.shadow.quotes)), keysPage) {
		stored, err := r.books.Stored(r.ctx, Keys{Quotes: page})
		if err != nil {
			return err
		}
		for _, quote := range page {
			for _, made := range r.shadow.quotes[quote] {
				if made.Npub == "" {
					continue // an older row; what events paid of it is in the journal
				}
				if !slices.ContainsFunc(stored.quotes[quote], func(q *Quote) bool {
					return q.Npub == made.Npub && q.Handle == made.Handle && q.Amount == made.Amount && q.Mint == made.Mint && q.Paid == made.Paid
				}) {
					r.differ("rebuilt_quote", made.Npub, "the log makes another row of the quote "+quote)
				}
			}
		}
	}
	return nil
}

// compareRecords looks for the rows that the events which only record something made.
func (r *rebuild) compareRecords() error {
	s := r.shadow
	for page := range slices.Chunk(slices.Sorted(maps.Keys(s.nwcEvents)), keysPage) {
		stored, err := r.books.Stored(r.ctx, Keys{NWCEvents: page})
		if err != nil {
			return err
		}
		for _, id := range page {
			if !stored.nwcEvents[id] {
				r.differ("rebuilt_record", id, "the log makes a row of nwcevent, and there is none")
			}
		}
	}
	for page := range slices.Chunk(slices.SortedFunc(maps.Keys(s.nonces), compareNonces), keysPage) {
		stored, err := r.books.Stored(r.ctx, Keys{Nonces: page})
		if err != nil {
			return err
		}
		for _, n := range page {
			if !stored.nonces[n] {
				r.differ("rebuilt_record", n.RequesterPubkey, "the log makes a row of nfcrequesternonce, and there is none: "+n.Flow+" "+n.Nonce)
			}
		}
	}
	for page := range slices.Chunk(slices.Sorted(maps.Keys(s.offers)), keysPage) {
		stored, err := r.books.Stored(r.ctx, Keys{Offers: page})
		if err != nil {
			return err
		}
		for _, nonce := range page {
			if !stored.offers[nonce] {
				r.differ("rebuilt_record", nonce, "the log makes a row of receiveofferbootstrap, and there is none")
			}
		}
	}
	for page := range slices.Chunk(slices.Sorted(maps.Keys(s.secretOf)), keysPage) {
		var k Keys
		for _, npub := range page {
			k.NWCSecrets = append(k.NWCSecrets, s.secretOf[npub])
		}
		stored, err := r.books.Stored(r.ctx, k)
		if err != nil {
			return err
		}
		for i, npub := range page {
			if stored.secrets[k.NWCSecrets[i]] != npub {
				r.differ("rebuilt_record", npub, "the log makes another row of nwcsecret")
			}
		}
	}
	return nil
}

// compareRates holds the currencies that events quoted against the table.
func (r *rebuild) compareRates() error {
	stored, err := r.books.Rates(r.ctx)
	if err != nil {
		return err
	}
	for _, rate := range stored {
		made := r.shadow.rates[rate.Code]
		if made != nil && !made.RefreshedAt.IsZero() && (!made.RefreshedAt.Equal(rate.RefreshedAt) || made.Rate != rate.Rate) {
			r.differ("rebuilt_rate", rate.Code, "the log makes another rate")
		}
	}
	return nil
}
