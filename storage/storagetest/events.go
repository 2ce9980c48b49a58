package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

const (
	topic  = event.Topic
	group  = "storagetest"
	source = "/storagetest"
)

// moment is when the events of these tests happen: a time whose microseconds matter.
var moment = time.Date(2026, 11, 23, 12, 0, 0, 6000, time.UTC)

// person is the npub of the n-th person.
func person(n int) string {
	return event.EncodeNpub([32]byte{byte(n >> 8), byte(n), 0x5a})
}

// strangers are n people no two of whom share a partition.
func strangers(n int) []string {
	var all []string
	taken := map[int]bool{}
	for i := 1; len(all) < n; i++ {
		if p := person(i); !taken[event.Partition(p)] {
			taken[event.Partition(p)] = true
			all = append(all, p)
		}
	}
	return all
}

// neighbours are n people of one partition, in the order of their npubs.
func neighbours(n int) []string {
	byPartition := map[int][]string{}
	for i := 1; ; i++ {
		p := person(i)
		k := event.Partition(p)
		byPartition[k] = insertSorted(byPartition[k], p)
		if len(byPartition[k]) == n {
			return byPartition[k]
		}
	}
}

func insertSorted(list []string, s string) []string {
	i := 0
	for i < len(list) && list[i] < s {
		i++
	}
	list = append(list, "")
	copy(list[i+1:], list[i:])
	list[i] = s
	return list
}

// wallet is a wallet event.
func wallet(id, typ, subject, data string) event.Event {
	return event.Event{ID: id, Source: source, Type: typ, Subject: subject, Time: moment, Data: []byte(data)}
}

// registration opens a person's wallet under a handle.
func registration(id, npub, handle string) event.Event {
	return wallet(id, event.TypeWalletRegistered, npub,
		fmt.Sprintf(`{"npub":%q,"handle":%q,"home_relay":"wss://relay.example.test","onboard_code":"code"}`, npub, handle))
}

func credit(id, npub string, amount int64) event.Event {
	return wallet(id, event.TypeFundsCredited, npub, fmt.Sprintf(`{"amount":%d}`, amount))
}

func transfer(id, from, to string, amount, fee int64) event.Event {
	return wallet(id, event.TypeFundsTransferred, from, fmt.Sprintf(`{"to":%q,"amount":%d,"fee":%d}`, to, amount, fee))
}

// mustAppend appends events that are new, and tells where they went.
func mustAppend(t *testing.T, db storage.DB, events ...event.Event) []event.Receipt {
	t.Helper()
	receipts, err := db.Append(Context(t), topic, events)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range receipts {
		if r.Result != event.Appended {
			t.Fatalf("event %s: %+v, want it appended", events[i].ID, r)
		}
	}
	return receipts
}
