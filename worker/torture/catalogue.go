package torture

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// The events that clients send, by their names in the catalogue.
const (
	registered  = "wallet.registered"
	credited    = "funds.credited"
	debited     = "funds.debited"
	transferred = "funds.transferred"
	quoteMade   = "quote.created"
	quotePaid   = "quote.paid"
)

// maxAmount is the most that a wallet may hold, in sats.
const maxAmount = 1<<53 - 1

func fullType(name string) string { return "safebox." + name + ".v1" }

// content is the data of all those events in one.
type content struct {
	Npub   string `json:"npub,omitempty"`
	Handle string `json:"handle,omitempty"`
	Relay  string `json:"home_relay,omitempty"`
	Code   string `json:"onboard_code,omitempty"`
	Amount int64  `json:"amount,omitempty"`
	Fee    int64  `json:"fee,omitempty"`
	To     string `json:"to,omitempty"`
	Quote  string `json:"quote,omitempty"`
	Mint   string `json:"mint,omitempty"`
}

func contentOf(data json.RawMessage) (c content) {
	_ = json.Unmarshal(data, &c) // what is not of this shape was found to be a stranger before
	return c
}

// cost is what an event takes from its wallet.
func (c content) cost() int64 { return c.Amount + c.Fee }

// sameJSON tells whether two documents mean the same, whatever the order of their fields.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	decode := func(data json.RawMessage, into *any) error {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		return d.Decode(into)
	}
	return decode(a, &x) == nil && decode(b, &y) == nil && reflect.DeepEqual(x, y)
}
