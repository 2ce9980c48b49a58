package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// noon is when the events of these tests happen, unless they say otherwise.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ptr(s string) *string { return &s }

// null and set are what a wallet.updated event may say of a column.
var null = event.Nullable{Set: true}

func set(s string) event.Nullable { return event.Nullable{Set: true, Value: &s} }

// given adds to a state what the database is supposed to hold.
type given func(*ledger.State)

// wallet is a wallet that the database has; its handle is its npub with an @ before it.
func wallet(npub string, balance int64, with ...func(*ledger.Account)) given {
	return func(s *ledger.State) {
		a := ledger.Account{ID: int64(npub[0]), Npub: npub, Handle: "@" + npub, HomeRelay: "wss://relay", OnboardCode: "code", Balance: balance}
		for _, w := range with {
			w(&a)
		}
		s.AddAccount(a)
	}
}

func custom(v string) func(*ledger.Account) { return func(a *ledger.Account) { a.CustomHandle = &v } }

func accessKey(v string) func(*ledger.Account) { return func(a *ledger.Account) { a.AccessKey = &v } }

func emergency(v string) func(*ledger.Account) {
	return func(a *ledger.Account) { a.EmergencyCode = &v }
}

func owned(v string) func(*ledger.Account) { return func(a *ledger.Account) { a.Owner = &v } }

func counted(n int64) func(*ledger.Account) {
	return func(a *ledger.Account) { a.EntryCount = n }
}

func quote(q ledger.Quote) given { return func(s *ledger.State) { s.AddQuote(q) } }

// log makes commands of one partition, in order.
type log struct{ commands []ledger.Command }

func (l *log) add(subject string, p event.Payload) *log {
	l.commands = append(l.commands, command(int64(len(l.commands)+1), subject, p))
	return l
}

func command(position int64, subject string, p event.Payload) ledger.Command {
	return ledger.Command{
		Payload: p,
		Record: event.Record{
			Event:     event.Event{ID: fmt.Sprint(position), Source: "/tests", Type: typeOf(p), Subject: subject, Time: noon},
			Partition: 7, Position: position,
		},
	}
}

func typeOf(p event.Payload) string {
	switch p.(type) {
	case event.WalletRegistered:
		return event.TypeWalletRegistered
	case event.WalletUpdated:
		return event.TypeWalletUpdated
	case event.WalletAccessKeyRotated:
		return event.TypeWalletAccessKeyRotated
	case event.WalletNWCRotated:
		return event.TypeWalletNWCRotated
	case event.FundsCredited:
		return event.TypeFundsCredited
	case event.FundsDebited:
		return event.TypeFundsDebited
	case event.FundsTransferred:
		return event.TypeFundsTransferred
	case event.QuoteCreated:
		return event.TypeQuoteCreated
	case event.QuotePaid:
		return event.TypeQuotePaid
	case event.NWCReceived:
		return event.TypeNWCReceived
	case event.NonceUsed:
		return event.TypeNonceUsed
	case event.OfferOpened:
		return event.TypeOfferOpened
	case event.CurrencyQuoted:
		return event.TypeCurrencyQuoted
	default:
		return "no type of the catalogue"
	}
}

// registered is the registration of a wallet with the handle that wallet gives, and nothing optional.
func registered(npub string, with ...func(*event.WalletRegistered)) event.WalletRegistered {
	p := event.WalletRegistered{Npub: npub, Handle: "@" + npub, HomeRelay: "wss://relay", OnboardCode: "code"}
	for _, w := range with {
		w(&p)
	}
	return p
}

func stateOf(have []given) *ledger.State {
	s := ledger.NewState()
	for _, g := range have {
		g(s)
	}
	return s
}

// foldAll folds commands that the ledger can process and names their outcomes.
func foldAll(t *testing.T, s *ledger.State, commands []ledger.Command) []string {
	t.Helper()
	var outcomes []string
	for _, c := range commands {
		out, err := s.Fold(c)
		if err != nil {
			t.Fatalf("%s at position %d: %v", c.Type, c.Position, err)
		}
		outcomes = append(outcomes, named(out))
	}
	return outcomes
}

// named is an outcome in a word: applied, or the reason for the rejection.
func named(out ledger.Outcome) string {
	if out.Kind == ledger.Rejected {
		return string(out.Reason)
	}
	if out.Reason != "" {
		return "applied, with the reason " + string(out.Reason)
	}
	return string(out.Kind)
}
