package worker_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
)

// crowd makes events of every type by few wallets that want the same things: the same handles, keys, quotes, and the last sat.
type crowd struct {
	rng     *rand.Rand
	wallets []string
	n       int
}

func newCrowd(wallets int) *crowd {
	c := &crowd{rng: rand.New(rand.NewPCG(5, 7))}
	for i := range wallets {
		c.wallets = append(c.wallets, event.EncodeNpub([32]byte{9, byte(i)}))
	}
	return c
}

func (c *crowd) events(n int) (all []event.Event) {
	for range n {
		c.n++
		one := c.rng.IntN(min(len(c.wallets), 4+c.n/100)) // more of them as time goes by
		npub, other := c.wallets[one], c.wallets[c.rng.IntN(len(c.wallets))]
		typ, subject, data := event.TypeFundsTransferred, npub, fmt.Sprintf(`{"to":%q,"amount":%d,"fee":%d}`, other, 1+c.rng.IntN(60), c.rng.IntN(2))
		few := c.rng.IntN(5)
		switch c.rng.IntN(20) {
		case 0:
			wants := ""
			if few > 2 {
				wants = fmt.Sprintf(`,"custom_handle":"c%d","access_key":"k%d"`, few, few)
			}
			typ, data = event.TypeWalletRegistered, fmt.Sprintf(`{"npub":%q,"handle":"h%d","home_relay":"r","onboard_code":"c"%s}`, npub, one, wants)
		case 1:
			typ, data = event.TypeWalletUpdated, fmt.Sprintf(`{"custom_handle":"c%d","owner":"o%d"}`, few, c.n)
		case 2:
			typ, data = event.TypeWalletUpdated, `{"custom_handle":null}`
		case 3:
			typ, data = event.TypeWalletAccessKeyRotated, fmt.Sprintf(`{"access_key":"k%d"}`, few)
		case 4:
			typ, data = event.TypeWalletNWCRotated, fmt.Sprintf(`{"nwc_secret":"s%d"}`, few)
		case 5:
			typ, data = event.TypeQuoteCreated, fmt.Sprintf(`{"quote":"q%d","amount":5,"mint":"m"}`, c.n%40)
		case 6:
			typ, data = event.TypeQuotePaid, fmt.Sprintf(`{"quote":"q%d"}`, c.n%40)
		case 7:
			typ, data = event.TypeNWCReceived, fmt.Sprintf(`{"event_id":"e%d"}`, c.n%30)
		case 8:
			typ, subject = event.TypeNonceUsed, fmt.Sprint("requester", few)
			data = fmt.Sprintf(`{"requester_pubkey":%q,"flow":"f","nonce":"n%d","requester_ts":1}`, subject, c.n%7)
		case 9:
			typ, subject = event.TypeOfferOpened, fmt.Sprint("offer", c.n%50)
			data = fmt.Sprintf(`{"nonce":%q,"nauth":"a","grant_kind":1,"offer_kind":1,"host":"h"}`, subject)
		case 10:
			typ, subject, data = event.TypeCurrencyQuoted, "EUR", fmt.Sprintf(`{"rate":%d,"refreshed_at":"2026-11-23T12:00:%02dZ"}`, c.n, c.rng.IntN(60))
		case 11, 12:
			typ, data = event.TypeFundsCredited, `{"amount":40}`
		case 13:
			typ, data = event.TypeFundsDebited, fmt.Sprintf(`{"amount":%d,"fee":1}`, 1+c.rng.IntN(40))
		}
		all = append(all, walletEvent(typ, subject, 1_000_000+c.n, data))
	}
	return all
}

// A ledger that two replicas kept at once, with parked and skipped events in it, is the one that the log makes.
func TestTheLogFoldedAgainMakesTheSameLedger(t *testing.T) {
	rounds := 3
	if os.Getenv("SAFEBOX_TEST_LONG") != "" {
		rounds = 15
	}
	dbtest.Each(t, func(t *testing.T, url string) {
		db := storagetest.Ready(t, url)
		c := newCrowd(24)
		poor := c.wallets[0]
		appendAll(t, db, []event.Event{
			walletEvent(event.TypeWalletRegistered, poor, 1, fmt.Sprintf(`{"npub":%q,"handle":"h0","home_relay":"r","onboard_code":"c"}`, poor)),
			walletEvent(event.TypeQuoteCreated, poor, 2, `{"quote":"too much","amount":9007199254740991,"mint":"m"}`),
			walletEvent(event.TypeFundsCredited, poor, 3, `{"amount":1000}`),
			walletEvent(event.TypeQuotePaid, poor, 4, `{"quote":"too much"}`), // it is parked, and what comes of this wallet waits
		})
		ctx := storagetest.Context(t)
		for range rounds {
			appendAll(t, db, c.events(1200))
			var replicas sync.WaitGroup
			for range 2 {
				replicas.Go(func() { drain(t, db, 4) })
			}
			replicas.Wait()
			wantRebuilt(t, db)
		}
		by := event.Operator{Actor: "operator", Reason: "the quote is wrong"}
		operations := worker.Operations{DB: db}
		if _, err := operations.Retry(ctx, poor, by); err != nil {
			t.Fatal(err)
		}
		if res, err := operations.Skip(ctx, poor, by); err != nil || res.Waiting > 0 {
			t.Fatalf("%+v, %v", res, err)
		}
		wantRebuilt(t, db)
	})
}

func wantRebuilt(t *testing.T, db storage.DB) {
	t.Helper()
	a, err := db.Rebuild(storagetest.Context(t), event.Topic, worker.Group, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if !a.OK || a.Rebuilt.Events != a.Applied+a.Rejected {
		t.Errorf("%d events folded again of %d and %d; %+v", a.Rebuilt.Events, a.Applied, a.Rejected, a.Findings)
	}
	t.Logf("%+v", *a.Rebuilt)
}
