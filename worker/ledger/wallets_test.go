package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

func withCustom(v string) func(*event.WalletRegistered) {
	return func(p *event.WalletRegistered) { p.CustomHandle = &v }
}

func withKey(v string) func(*event.WalletRegistered) {
	return func(p *event.WalletRegistered) { p.AccessKey = &v }
}

func withCode(v string) func(*event.WalletRegistered) {
	return func(p *event.WalletRegistered) { p.EmergencyCode = &v }
}

func withHandle(v string) func(*event.WalletRegistered) {
	return func(p *event.WalletRegistered) { p.Handle = v }
}

func TestRegistration(t *testing.T) {
	alice := wallet("alice", 0, custom("ally"), accessKey("key"), emergency("sos"))
	// What the database has of other wallets, though their rows are not loaded.
	values := func(s *ledger.State) {
		s.AddHandle("@bob", "zed")
		s.AddCustomHandle("bobby", "zed")
		s.AddAccessKey("bobkey", "zed")
		s.AddEmergencyCode("bobsos", "zed")
	}
	run(t, []foldCase{
		{name: "opens a wallet", who: "bob", what: registered("bob"), want: "applied", have: []given{alice}},
		{
			name: "opens a wallet with all that is optional", who: "bob", want: "applied", have: []given{alice},
			what: registered("bob", withCustom("bobby"), withKey("bobkey"), withCode("bobsos")),
		},
		{
			name: "first asks for the npub", who: "alice", want: "npub_taken", have: []given{alice},
			what: registered("alice", withCustom("ally"), withKey("key"), withCode("sos")),
		},
		{
			name: "then for the handle", who: "bob", want: "handle_taken", have: []given{alice},
			what: registered("bob", withHandle("@alice"), withCustom("ally"), withKey("key"), withCode("sos")),
		},
		{
			name: "then for the custom handle", who: "bob", want: "custom_handle_taken", have: []given{alice},
			what: registered("bob", withCustom("ally"), withKey("key"), withCode("sos")),
		},
		{
			name: "then for the access key", who: "bob", want: "access_key_taken", have: []given{alice},
			what: registered("bob", withCustom("free"), withKey("key"), withCode("sos")),
		},
		{
			name: "and last for the emergency code", who: "bob", want: "emergency_code_taken", have: []given{alice},
			what: registered("bob", withCustom("free"), withKey("free"), withCode("sos")),
		},
		{name: "knows a handle of a wallet that is not loaded", who: "bob", want: "handle_taken", have: []given{values}, what: registered("bob")},
		{
			name: "knows a custom handle of a wallet that is not loaded", who: "bill", want: "custom_handle_taken", have: []given{values},
			what: registered("bill", withCustom("bobby")),
		},
		{
			name: "knows an access key of a wallet that is not loaded", who: "bill", want: "access_key_taken", have: []given{values},
			what: registered("bill", withKey("bobkey")),
		},
		{
			name: "knows an emergency code of a wallet that is not loaded", who: "bill", want: "emergency_code_taken", have: []given{values},
			what: registered("bill", withCode("bobsos")),
		},
		{
			name: "knows the wallets of its batch", who: "bob", want: "npub_taken",
			before: (&log{}).add("bob", registered("bob")), what: registered("bob", withHandle("@other")),
		},
		{
			name: "knows the handles of its batch", who: "bill", want: "handle_taken",
			before: (&log{}).add("bob", registered("bob")), what: registered("bill", withHandle("@bob")),
		},
		{
			name: "takes nothing when it is rejected", who: "bill", want: "applied", have: []given{alice},
			before: (&log{}).add("bob", registered("bob", withCustom("free"), withKey("key"))),
			what:   registered("bill", withHandle("@bob"), withCustom("free")),
		},
		{
			name: "takes a custom handle that another may have as its handle", who: "bob", want: "applied", have: []given{alice},
			what: registered("bob", withCustom("@alice")),
		},
		{
			name: "takes a custom handle that was freed in its batch", who: "bob", want: "applied", have: []given{alice},
			before: (&log{}).add("alice", event.WalletUpdated{CustomHandle: null}),
			what:   registered("bob", withCustom("ally")),
		},
		{
			name: "takes an access key that was freed in its batch", who: "bob", want: "applied", have: []given{alice},
			before: (&log{}).add("alice", event.WalletAccessKeyRotated{AccessKey: ptr("new")}),
			what:   registered("bob", withKey("key")),
		},
		{
			name: "finds a freed value taken again", who: "bill", want: "custom_handle_taken", have: []given{alice},
			before: (&log{}).add("alice", event.WalletUpdated{CustomHandle: null}).add("bob", registered("bob", withCustom("ally"))),
			what:   registered("bill", withCustom("ally")),
		},
	})
}

func TestAnUpdateSetsWhatItNames(t *testing.T) {
	before := ledger.Account{
		ID: 1, Npub: "alice", Handle: "@alice", CustomHandle: ptr("ally"), Owner: ptr("npubowner"), HomeRelay: "wss://old",
		AccessKey: ptr("key"), CurrencyCode: ptr("EUR"), Balance: 9,
	}
	for name, tc := range map[string]struct {
		update event.WalletUpdated
		change func(*ledger.Account)
		sets   ledger.Columns
	}{
		"nothing":           {event.WalletUpdated{}, func(*ledger.Account) {}, 0},
		"the custom handle": {event.WalletUpdated{CustomHandle: set("al")}, func(a *ledger.Account) { a.CustomHandle = ptr("al") }, ledger.ColumnCustomHandle},
		"its own custom handle again": {
			event.WalletUpdated{CustomHandle: set("ally")}, func(*ledger.Account) {}, ledger.ColumnCustomHandle,
		},
		"no custom handle": {event.WalletUpdated{CustomHandle: null}, func(a *ledger.Account) { a.CustomHandle = nil }, ledger.ColumnCustomHandle},
		"the owner":        {event.WalletUpdated{Owner: set("x")}, func(a *ledger.Account) { a.Owner = ptr("x") }, ledger.ColumnOwner},
		"no owner":         {event.WalletUpdated{Owner: null}, func(a *ledger.Account) { a.Owner = nil }, ledger.ColumnOwner},
		"the home relay":   {event.WalletUpdated{HomeRelay: ptr("wss://new")}, func(a *ledger.Account) { a.HomeRelay = "wss://new" }, ledger.ColumnHomeRelay},
		"the currency":     {event.WalletUpdated{CurrencyCode: set("USD")}, func(a *ledger.Account) { a.CurrencyCode = ptr("USD") }, ledger.ColumnCurrencyCode},
		"no currency":      {event.WalletUpdated{CurrencyCode: null}, func(a *ledger.Account) { a.CurrencyCode = nil }, ledger.ColumnCurrencyCode},
		"everything": {
			event.WalletUpdated{CustomHandle: set("al"), Owner: set("x"), HomeRelay: ptr("wss://new"), CurrencyCode: null},
			func(a *ledger.Account) {
				a.CustomHandle, a.Owner, a.HomeRelay, a.CurrencyCode = ptr("al"), ptr("x"), "wss://new", nil
			},
			ledger.ColumnCustomHandle | ledger.ColumnOwner | ledger.ColumnHomeRelay | ledger.ColumnCurrencyCode,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := ledger.NewState()
			s.AddAccount(before)
			if got := foldAll(t, s, []ledger.Command{command(1, "alice", tc.update)}); got[0] != "applied" {
				t.Fatal(got)
			}
			want := before
			want.EntryCount = 1
			tc.change(&want)
			c := s.Changes()
			if diff := cmp.Diff([]*ledger.Account{&want}, c.Moved, cmpopts.IgnoreUnexported(ledger.Account{})); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if got := c.Moved[0].Changed(); got != tc.sets {
				t.Errorf("it changes the columns %b, want %b", got, tc.sets)
			}
			if stored := len(c.Profiled) == 1 && c.Profiled[0] == c.Moved[0]; stored != (tc.sets != 0) || len(c.Profiled) > 1 {
				t.Errorf("what it sets is stored as %+v", c.Profiled)
			}
		})
	}
}

func TestCustomHandlesAndKeysNameOneWallet(t *testing.T) {
	have := []given{wallet("alice", 0, custom("ally"), accessKey("key")), wallet("bob", 0, custom("bobby"), accessKey("bobkey"))}
	rename := func(v event.Nullable) event.WalletUpdated {
		return event.WalletUpdated{CustomHandle: v, Owner: set("x")}
	}
	rotate := func(v string) event.WalletAccessKeyRotated { return event.WalletAccessKeyRotated{AccessKey: &v} }
	run(t, []foldCase{
		{name: "a custom handle of another is taken", have: have, who: "bob", what: rename(set("ally")), want: "custom_handle_taken"},
		{name: "a wallet's own custom handle is not", have: have, who: "bob", what: rename(set("bobby")), want: "applied"},
		{
			name: "a custom handle is freed by its change", have: have, who: "bob", what: rename(set("ally")), want: "applied",
			before: (&log{}).add("alice", rename(set("else"))),
		},
		{
			name: "a custom handle that was freed and taken is taken", have: have, who: "alice", what: rename(set("ally")), want: "custom_handle_taken",
			before: (&log{}).add("alice", rename(null)).add("bob", rename(set("ally"))),
		},
		{
			name: "two wallets change custom handles by way of a third", have: have, who: "alice", what: rename(set("bobby")), want: "applied",
			before: (&log{}).add("alice", rename(set("third"))).add("bob", rename(set("ally"))),
		},
		{
			name: "a rejected change frees nothing", have: have, who: "carol", what: registered("carol", withCustom("bobby")), want: "custom_handle_taken",
			before: (&log{}).add("bob", rename(set("ally"))),
		},
		{name: "an access key is set", have: have, who: "bob", what: rotate("new"), want: "applied"},
		{name: "an access key is set again", have: have, who: "bob", what: rotate("bobkey"), want: "applied"},
		{name: "an access key is revoked", have: have, who: "bob", what: event.WalletAccessKeyRotated{}, want: "applied"},
		{name: "an access key is revoked where there is none", have: []given{wallet("carol", 0)}, who: "carol", what: event.WalletAccessKeyRotated{}, want: "applied"},
		{name: "an access key of another is taken", have: have, who: "bob", what: rotate("key"), want: "access_key_taken"},
		{
			name: "a revoked access key is free", have: have, who: "bob", what: rotate("key"), want: "applied",
			before: (&log{}).add("alice", event.WalletAccessKeyRotated{}),
		},
		{
			name: "an access key that was freed and taken is taken", have: have, who: "alice", what: rotate("key"), want: "access_key_taken",
			before: (&log{}).add("alice", event.WalletAccessKeyRotated{}).add("bob", rotate("key")),
		},
	})
}

func TestARotatedSecretReplacesAllOthersOfItsWallet(t *testing.T) {
	have := []given{wallet("alice", 0), wallet("bob", 0), func(s *ledger.State) {
		s.AddSecret("a1", "alice")
		s.AddSecret("a2", "alice")
		s.AddSecret("b1", "bob")
	}}
	rotate := func(v string) event.WalletNWCRotated { return event.WalletNWCRotated{NWCSecret: v} }
	run(t, []foldCase{
		{name: "a new secret is taken up", have: have, who: "alice", what: rotate("new"), want: "applied"},
		{name: "a wallet's own secret is taken up again", have: have, who: "alice", what: rotate("a2"), want: "applied"},
		{name: "a secret of another is taken", have: have, who: "alice", what: rotate("b1"), want: "nwc_secret_taken"},
		{
			name: "every secret that was replaced is free", have: have, who: "bob", what: rotate("a2"), want: "applied",
			before: (&log{}).add("alice", rotate("new")),
		},
		{
			name: "a secret of this batch is taken", have: have, who: "bob", what: rotate("new"), want: "nwc_secret_taken",
			before: (&log{}).add("alice", rotate("new")),
		},
		{
			name: "a secret of this batch that was replaced is free", have: have, who: "bob", what: rotate("new"), want: "applied",
			before: (&log{}).add("alice", rotate("new")).add("alice", rotate("newer")),
		},
	})
	s := stateOf(have)
	foldAll(t, s, (&log{}).add("bob", rotate("b2")).add("alice", rotate("b1")).add("bob", rotate("b3")).commands)
	want := []ledger.Secret{{Secret: "b1", Npub: "alice"}, {Secret: "b3", Npub: "bob"}}
	if diff := cmp.Diff(want, s.Changes().Secrets); diff != "" {
		t.Errorf("the secrets to keep (-want +got):\n%s", diff)
	}
}
