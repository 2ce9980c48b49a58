package ledger_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// A pool is the few names that drawn events choose from, so that they meet again and again.
type pool struct{ prefix string }

func (p pool) some(t *rapid.T, kind string, n int) string {
	return fmt.Sprintf("%s%s%d", p.prefix, kind, rapid.IntRange(1, n).Draw(t, kind))
}

func (p pool) maybe(t *rapid.T, kind string, n int) *string {
	if rapid.Bool().Draw(t, "some "+kind) {
		return nil
	}
	v := p.some(t, kind, n)
	return &v
}

func (p pool) nullable(t *rapid.T, kind string, n int) event.Nullable {
	v := event.Nullable{Set: rapid.Bool().Draw(t, "set "+kind)}
	if v.Set {
		v.Value = p.maybe(t, kind, n)
	}
	return v
}

func drawAmount(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(1, 20), rapid.SampledFrom([]int64{most / 2, most - 1, most})).Draw(t, "amount")
}

func drawFee(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{0, 0, 0, 1, 3, most}).Draw(t, "fee")
}

// payload draws an event and its subject.
func (p pool) payload(t *rapid.T) (subject string, payload event.Payload) {
	subject = p.some(t, "npub", 4)
	switch rapid.IntRange(0, 15).Draw(t, "type") {
	case 0, 1:
		return subject, event.WalletRegistered{
			Npub: subject, Handle: p.some(t, "handle", 5), HomeRelay: "wss://relay", OnboardCode: "code", AccessKey: p.maybe(t, "key", 3),
			CustomHandle: p.maybe(t, "custom", 3), EmergencyCode: p.maybe(t, "sos", 3),
		}
	case 2, 3:
		return subject, event.WalletUpdated{
			CustomHandle: p.nullable(t, "custom", 3), Owner: p.nullable(t, "owner", 2), HomeRelay: p.maybe(t, "relay", 2), CurrencyCode: p.nullable(t, "code", 2),
		}
	case 4:
		return subject, event.WalletAccessKeyRotated{AccessKey: p.maybe(t, "key", 3)}
	case 5:
		return subject, event.WalletNWCRotated{NWCSecret: p.some(t, "secret", 4)}
	case 6, 7:
		return subject, event.FundsCredited{Amount: drawAmount(t)}
	case 8:
		return subject, event.FundsDebited{Amount: drawAmount(t), Fee: drawFee(t)}
	case 9, 10:
		return subject, event.FundsTransferred{To: p.some(t, "npub", 4), Amount: drawAmount(t), Fee: drawFee(t)}
	case 11:
		return subject, event.QuoteCreated{Quote: p.some(t, "quote", 4), Amount: drawAmount(t), Mint: "mint"}
	case 12:
		return subject, event.QuotePaid{Quote: p.some(t, "quote", 4)}
	case 13:
		return subject, event.NWCReceived{EventID: p.some(t, "event", 3)}
	case 14:
		if rapid.Bool().Draw(t, "offer") {
			nonce := p.some(t, "nonce", 3)
			return nonce, event.OfferOpened{Nonce: nonce, Nauth: "n", Host: "h", Label: p.maybe(t, "label", 1)}
		}
		return "requester", event.NonceUsed{RequesterPubkey: p.some(t, "requester", 2), Flow: p.some(t, "flow", 2), Nonce: p.some(t, "nonce", 2), RequesterTS: 1}
	default:
		refreshed := noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "refreshed")) * time.Minute)
		return p.some(t, "currency", 3), event.CurrencyQuoted{Rate: float64(rapid.IntRange(1, 9).Draw(t, "rate")), RefreshedAt: refreshed}
	}
}

// commands draws events of one partition, from the first position on.
func (p pool) commands(t *rapid.T, partition int) []ledger.Command {
	list := make([]ledger.Command, rapid.IntRange(0, 40).Draw(t, "events"))
	for i := range list {
		subject, payload := p.payload(t)
		list[i] = command(int64(i+1), subject, payload)
		list[i].Partition = partition
		list[i].Time = noon.Add(time.Duration(i) * time.Second)
	}
	return list
}

// tables draws what an adopted database may hold: wallets with a balance, several secrets of one wallet, quotes that are
// there more than once or make no sense, and currencies.
func (p pool) tables(t *rapid.T) *memory {
	m := &memory{}
	for i := range rapid.IntRange(0, 3).Draw(t, "wallets") {
		a := ledger.Account{
			ID: int64(i + 1), Npub: fmt.Sprintf("%snpub%d", p.prefix, i+1), Handle: fmt.Sprintf("%shandle%d", p.prefix, i+1), HomeRelay: "wss://relay",
			Balance: rapid.SampledFrom([]int64{0, 10, most - 5, most}).Draw(t, "balance"),
		}
		a.OpeningBalance = a.Balance
		if rapid.Bool().Draw(t, "has optional values") {
			a.CustomHandle, a.AccessKey, a.EmergencyCode = ptr(fmt.Sprintf("%scustom%d", p.prefix, i+1)), ptr(fmt.Sprintf("%skey%d", p.prefix, i+1)), ptr(fmt.Sprintf("%ssos%d", p.prefix, i+1))
		}
		m.Wallets = append(m.Wallets, a)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "secrets") {
		if len(m.Wallets) > 0 {
			m.Secrets = append(m.Secrets, ledger.Secret{Secret: fmt.Sprintf("%ssecret%d", p.prefix, i+1), Npub: m.Wallets[i%len(m.Wallets)].Npub})
		}
	}
	slices.SortFunc(m.Secrets, func(a, b ledger.Secret) int {
		return slices.Compare([]string{a.Npub, a.Secret}, []string{b.Npub, b.Secret})
	})
	for i := range rapid.IntRange(0, 4).Draw(t, "quotes") {
		m.Quotes = append(m.Quotes, ledger.Quote{
			ID: int64(i + 1), Handle: p.some(t, "handle", 3), Quote: p.some(t, "quote", 2), Mint: "mint",
			Amount: rapid.SampledFrom([]int64{-1, 0, 4, 5, most}).Draw(t, "quoted"), Paid: rapid.Bool().Draw(t, "paid"),
		})
	}
	for i := range 2 {
		m.Rates = append(m.Rates, ledger.Rate{Code: fmt.Sprintf("%scurrency%d", p.prefix, i+1)})
	}
	return m
}
