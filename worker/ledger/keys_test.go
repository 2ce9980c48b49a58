package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func TestKeysOfEachEvent(t *testing.T) {
	for _, tc := range []struct {
		subject string
		payload event.Payload
		want    ledger.Keys
	}{
		{"a", registered("a"), ledger.Keys{Npubs: []string{"a"}, Handles: []string{"@a"}}},
		{"a", registered("a", withCustom("c"), withKey("k"), withCode("e")), ledger.Keys{
			Npubs: []string{"a"}, Handles: []string{"@a"}, CustomHandles: []string{"c"}, AccessKeys: []string{"k"}, EmergencyCodes: []string{"e"},
		}},
		{"a", event.WalletUpdated{Owner: set("x")}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}}},
		{"a", event.WalletUpdated{CustomHandle: null}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}}},
		{"a", event.WalletUpdated{CustomHandle: set("c")}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}, CustomHandles: []string{"c"}}},
		{"a", event.WalletAccessKeyRotated{}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}}},
		{"a", event.WalletAccessKeyRotated{AccessKey: ptr("k")}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}, AccessKeys: []string{"k"}}},
		{"a", event.WalletNWCRotated{NWCSecret: "s"}, ledger.Keys{Npubs: []string{"a"}, NWCSecrets: []string{"s"}}},
		{"a", event.FundsCredited{Amount: 1}, ledger.Keys{Npubs: []string{"a"}}},
		{"a", event.FundsDebited{Amount: 1}, ledger.Keys{Npubs: []string{"a"}}},
		{"b", event.FundsTransferred{To: "a", Amount: 1}, ledger.Keys{Npubs: []string{"a", "b"}, Transfers: []ledger.Transfer{{Place: event.Place{Partition: 7, Position: 1}, Payee: "a"}}}},
		{"a", event.QuoteCreated{Quote: "q"}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}, Quotes: []string{"q"}}},
		{"a", event.QuotePaid{Quote: "q"}, ledger.Keys{Npubs: []string{"a"}, Profiles: []string{"a"}, Quotes: []string{"q"}}},
		{"a", event.NWCReceived{EventID: "e"}, ledger.Keys{Npubs: []string{"a"}, NWCEvents: []string{"e"}}},
		{"pk", event.NonceUsed{RequesterPubkey: "pk", Flow: "f", Nonce: "n"}, ledger.Keys{Nonces: []ledger.Nonce{{RequesterPubkey: "pk", Flow: "f", Nonce: "n"}}}},
		{"n", event.OfferOpened{Nonce: "n"}, ledger.Keys{Offers: []string{"n"}}},
		{"EUR", event.CurrencyQuoted{Rate: 1}, ledger.Keys{Currencies: []string{"EUR"}}},
	} {
		t.Run(typeOf(tc.payload), func(t *testing.T) {
			got := ledger.KeysOf([]ledger.Command{command(1, tc.subject, tc.payload)})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeysAreSortedAndDistinct(t *testing.T) {
	l := &log{}
	for _, v := range []string{"c", "a", "b", "a", "c"} {
		l.add(v, registered(v, withCustom(v), withKey(v), withCode(v))).
			add("b", event.FundsTransferred{To: v, Amount: 1}).
			add(v, event.WalletNWCRotated{NWCSecret: v}).
			add(v, event.QuoteCreated{Quote: v}).
			add(v, event.NWCReceived{EventID: v}).
			add(v, event.OfferOpened{Nonce: v}).
			add(v, event.CurrencyQuoted{Rate: 1})
		for _, w := range []string{"y", "x"} {
			l.add(v, event.NonceUsed{RequesterPubkey: v, Flow: w, Nonce: "2"}).
				add(v, event.NonceUsed{RequesterPubkey: v, Flow: w, Nonce: "1"})
		}
	}
	abc := []string{"a", "b", "c"}
	want := ledger.Keys{
		Npubs: abc, Profiles: abc, Handles: []string{"@a", "@b", "@c"}, CustomHandles: abc, AccessKeys: abc, EmergencyCodes: abc, NWCSecrets: abc,
		Quotes: abc, NWCEvents: abc, Offers: abc, Currencies: abc,
	}
	for _, c := range l.commands {
		if p, ok := c.Payload.(event.FundsTransferred); ok {
			want.Transfers = append(want.Transfers, ledger.Transfer{Place: c.Place(), Payee: p.To})
		}
	}
	for _, v := range abc {
		for _, w := range []string{"x", "y"} {
			for _, n := range []string{"1", "2"} {
				want.Nonces = append(want.Nonces, ledger.Nonce{RequesterPubkey: v, Flow: w, Nonce: n})
			}
		}
	}
	if diff := cmp.Diff(want, ledger.KeysOf(l.commands)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBalancesAreThoseOfTheWalletsThatAreNotReadWhole(t *testing.T) {
	l := &log{}
	l.add("d", event.FundsTransferred{To: "b", Amount: 1}).add("c", event.QuotePaid{Quote: "q"}).add("a", event.WalletUpdated{}).
		add("b", event.FundsCredited{Amount: 1}).add("c", event.FundsCredited{Amount: 1})
	k := ledger.KeysOf(l.commands)
	if diff := cmp.Diff([]string{"b", "d"}, k.Balances()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "c"}, k.Profiles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoCommandsHaveNoKeys(t *testing.T) {
	if diff := cmp.Diff(ledger.Keys{}, ledger.KeysOf(nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
