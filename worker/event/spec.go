package event

import "slices"

// subjectKind is what the subject of a type stands for.
type subjectKind uint8

const (
	subjectNpub     subjectKind = iota // the npub of a wallet
	subjectCurrency                    // a currency code
	subjectMember                      // whatever the member of spec.same holds
)

// nullRule is what null means for a member.
type nullRule uint8

const (
	nullRefused nullRule = iota
	nullAbsent           // the same as leaving the member out
	nullKept             // a value of its own: it clears what the member sets
)

// A member is one row of a type's table.
type member struct {
	name     string
	kind     Kind
	required bool
	null     nullRule
	secret   bool
	empty    bool // an empty string is the same as leaving the member out
	about    string
}

// A spec is all that this package knows about a type: decoding, canonical encoding, redaction and the documentation
// follow from it.
type spec struct {
	name    string // of the type
	about   string // the effect
	subject subjectKind
	// same is the index of the member that must equal the subject, or -1.
	same    int
	members []member // in canonical order
	// some says that the data must have at least one member although none is required.
	some    bool
	reasons []string // of rejection
	secrets bool     // a member is secret; byType finds out
	build   func(v values) Payload
}

// maxMembers is the largest number of members of a type.
const maxMembers = 9

// values are the values of an event's data, in the order of its spec's members.
type values [maxMembers]value

var byType = func() map[string]*spec {
	table := make(map[string]*spec, len(specs))
	for i := range specs {
		s := &specs[i]
		s.secrets = slices.ContainsFunc(s.members, func(m member) bool { return m.secret })
		table[s.name] = s
	}
	return table
}()

// specs is the catalogue, version 1.
var specs = [...]spec{
	{
		name: TypeWalletRegistered, about: "opens a wallet with balance 0", same: 0,
		members: []member{
			{name: "npub", kind: KindNpub, required: true, about: "the wallet's public key, equal to the subject"},
			{name: "handle", kind: KindIdentifier, required: true, about: "the wallet's unique handle"},
			{name: "home_relay", kind: KindText, required: true, about: "the relay that holds the wallet's records"},
			{name: "onboard_code", kind: KindIdentifier, required: true, about: "the code that admitted the wallet"},
			{name: "access_key", kind: KindIdentifier, null: nullAbsent, secret: true, about: "the unique access key"},
			{name: "custom_handle", kind: KindIdentifier, null: nullAbsent, about: "a unique handle that the owner chose"},
			{name: "owner", kind: KindText, null: nullAbsent, about: "who owns the wallet"},
			{name: "emergency_code", kind: KindIdentifier, null: nullAbsent, secret: true, about: "the unique code that recovers the wallet"},
			{name: "currency_code", kind: KindCurrency, null: nullAbsent, about: "the currency that balances are shown in"},
		},
		reasons: []string{"npub_taken", "handle_taken", "custom_handle_taken", "access_key_taken", "emergency_code_taken"},
		build: func(v values) Payload {
			return WalletRegistered{
				Npub: v[0].text, Handle: v[1].text, HomeRelay: v[2].text, OnboardCode: v[3].text, AccessKey: v[4].pointer(),
				CustomHandle: v[5].pointer(), Owner: v[6].pointer(), EmergencyCode: v[7].pointer(), CurrencyCode: v[8].pointer(),
			}
		},
	},
	{
		name: TypeWalletUpdated, about: "sets the members that are there; null clears", same: -1, some: true,
		members: []member{
			{name: "custom_handle", kind: KindIdentifier, null: nullKept, about: "a unique handle that the owner chose"},
			{name: "owner", kind: KindText, null: nullKept, about: "who owns the wallet"},
			{name: "home_relay", kind: KindText, about: "the relay that holds the wallet's records"},
			{name: "currency_code", kind: KindCurrency, null: nullKept, about: "the currency that balances are shown in"},
		},
		reasons: []string{"unknown_wallet", "custom_handle_taken"},
		build: func(v values) Payload {
			return WalletUpdated{
				CustomHandle: v[0].nullable(), Owner: v[1].nullable(), HomeRelay: v[2].pointer(), CurrencyCode: v[3].nullable(),
			}
		},
	},
	{
		name: TypeWalletAccessKeyRotated, about: "replaces the access key; null revokes it", same: -1,
		members: []member{
			{name: "access_key", kind: KindIdentifier, required: true, null: nullKept, secret: true, about: "the new access key"},
		},
		reasons: []string{"unknown_wallet", "access_key_taken"},
		build:   func(v values) Payload { return WalletAccessKeyRotated{AccessKey: v[0].pointer()} },
	},
	{
		name: TypeWalletNWCRotated, about: "replaces the wallet's Nostr Wallet Connect secrets with one", same: -1,
		members: []member{
			{name: "nwc_secret", kind: KindIdentifier, required: true, secret: true, about: "the new secret"},
		},
		reasons: []string{"unknown_wallet", "nwc_secret_taken"},
		build:   func(v values) Payload { return WalletNWCRotated{NWCSecret: v[0].text} },
	},
	{
		name: TypeFundsCredited, about: "adds the amount to the balance", same: -1,
		members: []member{
			{name: "amount", kind: KindAmount, required: true, about: "what the wallet gains"},
			{name: "memo", kind: KindText, empty: true, about: "a note for people"},
			{name: "reference", kind: KindText, empty: true, about: "the producer's own reference"},
		},
		reasons: []string{"unknown_wallet", "balance_overflow"},
		build: func(v values) Payload {
			return FundsCredited{Amount: v[0].whole, Memo: v[1].text, Reference: v[2].text}
		},
	},
	{
		name: TypeFundsDebited, about: "takes the amount and the fee from the balance", same: -1,
		members: []member{
			{name: "amount", kind: KindAmount, required: true, about: "what the wallet pays"},
			{name: "fee", kind: KindFee, about: "what the payment costs on top"},
			{name: "memo", kind: KindText, empty: true, about: "a note for people"},
			{name: "reference", kind: KindText, empty: true, about: "the producer's own reference"},
		},
		reasons: []string{"unknown_wallet", "insufficient_funds"},
		build: func(v values) Payload {
			return FundsDebited{Amount: v[0].whole, Fee: v[1].whole, Memo: v[2].text, Reference: v[3].text}
		},
	},
	{
		name: TypeFundsTransferred, about: "moves the amount to another wallet; the payer bears the fee", same: -1,
		members: []member{
			{name: "to", kind: KindNpub, required: true, about: "the wallet that is paid"},
			{name: "amount", kind: KindAmount, required: true, about: "what the payee gains"},
			{name: "fee", kind: KindFee, about: "what the payer is charged on top"},
			{name: "memo", kind: KindText, empty: true, about: "a note for people"},
		},
		reasons: []string{"unknown_wallet", "unknown_payee", "insufficient_funds", "self_transfer", "balance_overflow"},
		build: func(v values) Payload {
			return FundsTransferred{To: v[0].text, Amount: v[1].whole, Fee: v[2].whole, Memo: v[3].text}
		},
	},
	{
		name: TypeQuoteCreated, about: "records an unpaid payment quote of a mint", same: -1,
		members: []member{
			{name: "quote", kind: KindIdentifier, required: true, about: "the unique quote"},
			{name: "amount", kind: KindAmount, required: true, about: "what the wallet gains when the quote is paid"},
			{name: "mint", kind: KindText, required: true, about: "the mint that made the quote"},
		},
		reasons: []string{"unknown_wallet", "quote_taken"},
		build: func(v values) Payload {
			return QuoteCreated{Quote: v[0].text, Amount: v[1].whole, Mint: v[2].text}
		},
	},
	{
		name: TypeQuotePaid, about: "marks a quote as paid and adds its amount to the balance", same: -1,
		members: []member{
			{name: "quote", kind: KindIdentifier, required: true, about: "the quote"},
		},
		reasons: []string{"unknown_wallet", "unknown_quote", "quote_paid"},
		build:   func(v values) Payload { return QuotePaid{Quote: v[0].text} },
	},
	{
		name: TypeNWCReceived, about: "records a Nostr Wallet Connect event as seen", same: -1,
		members: []member{
			{name: "event_id", kind: KindIdentifier, required: true, about: "the id of the Nostr event"},
		},
		reasons: []string{"nwc_event_seen"},
		build:   func(v values) Payload { return NWCReceived{EventID: v[0].text} },
	},
	{
		name: TypeNonceUsed, about: "burns a nonce of an NFC requester", subject: subjectMember, same: 0,
		members: []member{
			{name: "requester_pubkey", kind: KindIdentifier, required: true, about: "the requester's public key, equal to the subject"},
			{name: "flow", kind: KindIdentifier, required: true, about: "what the nonce was used for"},
			{name: "nonce", kind: KindIdentifier, required: true, about: "the nonce"},
			{name: "requester_ts", kind: KindSeconds, required: true, about: "when, by the requester's clock, in Unix seconds"},
		},
		reasons: []string{"nonce_used"},
		build: func(v values) Payload {
			return NonceUsed{RequesterPubkey: v[0].text, Flow: v[1].text, Nonce: v[2].text, RequesterTS: v[3].whole}
		},
	},
	{
		name: TypeOfferOpened, about: "records the bootstrap of a receive offer", subject: subjectMember, same: 0,
		members: []member{
			{name: "nonce", kind: KindIdentifier, required: true, about: "the offer's nonce, equal to the subject"},
			{name: "nauth", kind: KindText, required: true, about: "the authorisation string of the offer"},
			{name: "grant_kind", kind: KindNumber, required: true, about: "the kind of the records granted"},
			{name: "offer_kind", kind: KindNumber, required: true, about: "the kind of the records offered"},
			{name: "host", kind: KindText, required: true, about: "the host that serves the offer"},
			{name: "label", kind: KindText, null: nullAbsent, empty: true, about: "a name for people"},
		},
		reasons: []string{"nonce_used"},
		build: func(v values) Payload {
			return OfferOpened{
				Nonce: v[0].text, Nauth: v[1].text, GrantKind: v[2].whole, OfferKind: v[3].whole, Host: v[4].text, Label: v[5].pointer(),
			}
		},
	},
	{
		name: TypeCurrencyQuoted, about: "sets a currency's rate if it is newer than what is there", subject: subjectCurrency, same: -1,
		members: []member{
			{name: "rate", kind: KindRate, required: true, about: "the price of a bitcoin in the currency"},
			{name: "refreshed_at", kind: KindTimestamp, required: true, about: "when the rate was true"},
		},
		reasons: []string{"unknown_currency", "stale_rate"},
		build:   func(v values) Payload { return CurrencyQuoted{Rate: v[0].rate(), RefreshedAt: v[1].time()} },
	},
}
