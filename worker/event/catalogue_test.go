package event_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

// The catalogue in the notation of its design: ? marks what may be absent, * what is secret.
func TestTheCatalogueIsThatOfVersionOne(t *testing.T) {
	want := map[string]string{
		event.TypeWalletRegistered: "npub, handle, home_relay, onboard_code, access_key?*, custom_handle?, owner?, emergency_code?*, currency_code? | " +
			"npub_taken, handle_taken, custom_handle_taken, access_key_taken, emergency_code_taken",
		event.TypeWalletUpdated:          "custom_handle?, owner?, home_relay?, currency_code? | unknown_wallet, custom_handle_taken",
		event.TypeWalletAccessKeyRotated: "access_key* | unknown_wallet, access_key_taken",
		event.TypeWalletNWCRotated:       "nwc_secret* | unknown_wallet, nwc_secret_taken",
		event.TypeFundsCredited:          "amount, memo?, reference? | unknown_wallet, balance_overflow",
		event.TypeFundsDebited:           "amount, fee?, memo?, reference? | unknown_wallet, insufficient_funds",
		event.TypeFundsTransferred: "to, amount, fee?, memo? | " +
			"unknown_wallet, unknown_payee, insufficient_funds, self_transfer, balance_overflow",
		event.TypeQuoteCreated:   "quote, amount, mint | unknown_wallet, quote_taken",
		event.TypeQuotePaid:      "quote | unknown_wallet, unknown_quote, quote_paid",
		event.TypeNWCReceived:    "event_id | nwc_event_seen",
		event.TypeNonceUsed:      "requester_pubkey, flow, nonce, requester_ts | nonce_used",
		event.TypeOfferOpened:    "nonce, nauth, grant_kind, offer_kind, host, label? | nonce_used",
		event.TypeCurrencyQuoted: "rate, refreshed_at | unknown_currency, stale_rate",
	}
	got := map[string]string{}
	for _, info := range event.Catalogue() {
		var members []string
		for _, m := range info.Members {
			name := m.Name
			if !m.Required {
				name += "?"
			}
			if m.Secret {
				name += "*"
			}
			members = append(members, name)
			if m.About == "" || m.Expects == "" || strings.HasPrefix(m.Kind.String(), "Kind(") {
				t.Errorf("%s.%s is not described: %+v", info.Type, m.Name, m)
			}
		}
		got[info.Type] = strings.Join(members, ", ") + " | " + strings.Join(info.Reasons, ", ")
		if info.Effect == "" || info.Subject == "" {
			t.Errorf("%s is not described: %+v", info.Type, info)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheCatalogueIsTheCallersOwn(t *testing.T) {
	changed := event.Catalogue()
	changed[0].Members[0].Name = "changed"
	changed[0].Reasons[0] = "changed"
	if again := event.Catalogue(); again[0].Members[0].Name != "npub" || again[0].Reasons[0] != "npub_taken" {
		t.Errorf("a caller's change shows in the catalogue: %+v", again[0])
	}
}

func TestAMemberIsDescribedInJSON(t *testing.T) {
	for _, info := range event.Catalogue() {
		if info.Type != event.TypeFundsDebited {
			continue
		}
		got, err := json.Marshal(info.Members[1])
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"name":"fee","kind":"fee","required":false,"nullable":false,"secret":false,` +
			`"about":"what the payment costs on top","expects":"a whole number of sats from 0 to 9007199254740991","most":9007199254740991}`
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestPartitionIsFNV1a(t *testing.T) {
	// FNV-1a-32 of nothing, "a" and "foobar", from the algorithm's published test vectors.
	for subject, hash := range map[string]uint32{"": 0x811c9dc5, "a": 0xe40c292c, "foobar": 0xbf9cf968} {
		if got, want := event.Partition(subject), int(hash%event.Partitions); got != want {
			t.Errorf("Partition(%q) = %d, want %d", subject, got, want)
		}
	}
}

func TestContentIsTypeSubjectAndData(t *testing.T) {
	ev := sample()
	same := ev
	same.Time, same.Metadata = same.Time.Add(1), nil
	if !ev.SameContent(same) {
		t.Error("another time and other metadata make other content")
	}
	for name, change := range map[string]func(*event.Event){
		"type":    func(e *event.Event) { e.Type = event.TypeQuotePaid },
		"subject": func(e *event.Event) { e.Subject = otherNpub },
		"data":    func(e *event.Event) { e.Data = []byte(`{"access_key":null}`) },
	} {
		other := ev
		if change(&other); ev.SameContent(other) {
			t.Errorf("another %s makes no other content", name)
		}
	}
}
