package event

import "time"

// The types of the catalogue, version 1.
const (
	TypeWalletRegistered       = "safebox.wallet.registered.v1"
	TypeWalletUpdated          = "safebox.wallet.updated.v1"
	TypeWalletAccessKeyRotated = "safebox.wallet.access_key_rotated.v1"
	TypeWalletNWCRotated       = "safebox.wallet.nwc_rotated.v1"
	TypeFundsCredited          = "safebox.funds.credited.v1"
	TypeFundsDebited           = "safebox.funds.debited.v1"
	TypeFundsTransferred       = "safebox.funds.transferred.v1"
	TypeQuoteCreated           = "safebox.quote.created.v1"
	TypeQuotePaid              = "safebox.quote.paid.v1"
	TypeNWCReceived            = "safebox.nwc.received.v1"
	TypeNonceUsed              = "safebox.nonce.used.v1"
	TypeOfferOpened            = "safebox.offer.opened.v1"
	TypeCurrencyQuoted         = "safebox.currency.quoted.v1"
)

// MaxAmount is the largest amount and the largest balance, in sats: 2^53 − 1, the largest whole number that every JSON
// reader holds exactly.
const MaxAmount = 1<<53 - 1

// A Payload is the decoded data of an event of the catalogue: one of the structs below, by value.
type Payload interface{ payload() }

// Nullable is a member that may be absent, null or a string.
type Nullable struct {
	Set   bool    // the member was there
	Value *string // nil: null
}

// WalletRegistered opens a wallet.
type WalletRegistered struct {
	Npub          string
	Handle        string
	HomeRelay     string
	OnboardCode   string
	AccessKey     *string // secret
	CustomHandle  *string
	Owner         *string
	EmergencyCode *string // secret
	CurrencyCode  *string
}

// WalletUpdated sets what is Set; null clears, where the column may be null.
type WalletUpdated struct {
	CustomHandle Nullable
	Owner        Nullable
	HomeRelay    *string // may not be cleared
	CurrencyCode Nullable
}

// WalletAccessKeyRotated replaces the access key; nil revokes it.
type WalletAccessKeyRotated struct{ AccessKey *string } // secret

// WalletNWCRotated replaces the wallet's Nostr Wallet Connect secrets with one.
type WalletNWCRotated struct{ NWCSecret string } // secret

// FundsCredited adds Amount sats.
type FundsCredited struct {
	Amount    int64
	Memo      string
	Reference string
}

// FundsDebited takes Amount + Fee sats.
type FundsDebited struct {
	Amount    int64
	Fee       int64
	Memo      string
	Reference string
}

// FundsTransferred takes Amount + Fee sats from the subject and gives Amount to the wallet To.
type FundsTransferred struct {
	To     string
	Amount int64
	Fee    int64
	Memo   string
}

// QuoteCreated records an unpaid payment quote of a mint.
type QuoteCreated struct {
	Quote  string
	Amount int64
	Mint   string
}

// QuotePaid credits the amount of a quote.
type QuotePaid struct{ Quote string }

// NWCReceived records a Nostr Wallet Connect event as seen.
type NWCReceived struct{ EventID string }

// NonceUsed burns a nonce of an NFC requester.
type NonceUsed struct {
	RequesterPubkey string
	Flow            string
	Nonce           string
	RequesterTS     int64 // Unix seconds, as the requester said
}

// OfferOpened records the bootstrap of a receive offer.
type OfferOpened struct {
	Nonce     string
	Nauth     string
	GrantKind int64
	OfferKind int64
	Host      string
	Label     *string
}

// CurrencyQuoted sets the rate of the currency that is the subject.
type CurrencyQuoted struct {
	Rate        float64
	RefreshedAt time.Time
}

func (WalletRegistered) payload()       {}
func (WalletUpdated) payload()          {}
func (WalletAccessKeyRotated) payload() {}
func (WalletNWCRotated) payload()       {}
func (FundsCredited) payload()          {}
func (FundsDebited) payload()           {}
func (FundsTransferred) payload()       {}
func (QuoteCreated) payload()           {}
func (QuotePaid) payload()              {}
func (NWCReceived) payload()            {}
func (NonceUsed) payload()              {}
func (OfferOpened) payload()            {}
func (CurrencyQuoted) payload()         {}
