package demo

import (
	"fmt"
	"time"

	"github.com/safebox/safebox/worker/event"
)

// The most that one event of the activity moves, in sats.
const (
	mostSats = 500
	mostFee  = 3
)

// activity writes a line of one of the kinds, by weight.
func (w *writer) activity() {
	pick := w.rng.IntN(1000)
	for _, k := range kinds {
		if pick < k.weight {
			k.write(w)
			return
		}
		pick -= k.weight
	}
}

// kinds are what the activity is made of; the weights add up to 1,000.
var kinds = []struct {
	weight int
	write  func(*writer)
}{
	{290, (*writer).credit},
	{220, (*writer).debit},
	{240, (*writer).transfer},
	{50, (*writer).openQuote},
	{40, (*writer).payQuote},
	{20, (*writer).update},
	{10, (*writer).meet},
	{10, (*writer).notice},
	{10, (*writer).rate},
	{10, (*writer).offer},
	{20, (*writer).repeat},
	{30, (*writer).overdraw},
	{20, (*writer).payNobody},
	{20, (*writer).spendAsNobody},
	{5, (*writer).payUnknownQuote},
	{5, (*writer).payMyself},
}

func (w *writer) sats() int64 { return 1 + w.rng.Int64N(mostSats) }
func (w *writer) fee() int64  { return w.rng.Int64N(mostFee + 1) }

func (w *writer) credit() {
	npub, amount := w.somebody(), w.sats()
	w.emit(event.TypeFundsCredited, npub, data{"amount": amount, "memo": "tip ☕"}, "")
	w.tally.Balances[npub] += amount
}

func (w *writer) debit() {
	npub, amount, fee := w.somebody(), w.sats(), w.fee()
	w.emit(event.TypeFundsDebited, npub, data{"amount": amount, "fee": fee, "memo": "invoice"}, "")
	w.tally.Balances[npub] -= amount + fee
}

func (w *writer) transfer() {
	from := w.rng.IntN(len(w.npubs))
	to := (from + 1 + w.rng.IntN(len(w.npubs)-1)) % len(w.npubs)
	amount, fee := w.sats(), w.fee()
	w.emit(event.TypeFundsTransferred, w.npubs[from], data{"to": w.npubs[to], "amount": amount, "fee": fee}, "")
	w.tally.Balances[w.npubs[from]] -= amount + fee
	w.tally.Balances[w.npubs[to]] += amount
}

func (w *writer) openQuote() {
	q := quote{w.somebody(), fmt.Sprintf("%s/quote-%d", w.source, w.serial), w.sats()}
	w.emit(event.TypeQuoteCreated, q.npub, data{"quote": q.id, "amount": q.amount, "mint": "https://mint.example.org"}, "")
	w.unpaid = append(w.unpaid, q)
}

// payQuote pays the oldest quote; where all are paid, it pays one a second time, which must be rejected.
func (w *writer) payQuote() {
	if len(w.unpaid) == 0 {
		if len(w.paid) > 0 {
			q := w.paid[w.rng.IntN(len(w.paid))]
			w.emit(event.TypeQuotePaid, q.npub, data{"quote": q.id}, "quote_paid")
		}
		return
	}
	q := w.unpaid[0]
	w.unpaid, w.paid = w.unpaid[1:], append(w.paid, q)
	w.emit(event.TypeQuotePaid, q.npub, data{"quote": q.id}, "")
	w.tally.Balances[q.npub] += q.amount
}

func (w *writer) update() {
	w.emit(event.TypeWalletUpdated, w.somebody(), data{"owner": fmt.Sprintf("owner %d", w.serial)}, "")
}

func (w *writer) meet() {
	key := w.stranger()
	d := data{"requester_pubkey": key, "flow": "receive", "nonce": fmt.Sprintf("%s-%d", w.source, w.serial), "requester_ts": w.at.Unix()}
	w.emit(event.TypeNonceUsed, key, d, "")
}

func (w *writer) notice() {
	npub, d := w.somebody(), data{"event_id": fmt.Sprintf("%s-nwc-%d", w.source, w.serial)}
	w.emit(event.TypeNWCReceived, npub, d, "")
	w.emit(event.TypeNWCReceived, npub, d, "nwc_event_seen")
}

func (w *writer) rate() {
	quoted := func(at time.Time) data {
		return data{"rate": 0.5 + w.rng.Float64(), "refreshed_at": at.Format(time.RFC3339)}
	}
	w.emit(event.TypeCurrencyQuoted, "USD", quoted(w.at), "")
	w.emit(event.TypeCurrencyQuoted, "USD", quoted(w.at.Add(-time.Hour)), "stale_rate")
}

func (w *writer) offer() {
	nonce := fmt.Sprintf("%s-offer-%d", w.source, w.serial)
	d := data{"nonce": nonce, "nauth": "nauth1demo", "grant_kind": 34003, "offer_kind": 34002, "host": "safebox.example.org"}
	w.emit(event.TypeOfferOpened, nonce, d, "")
}

// repeat sends an earlier line again, as a producer does that did not see the answer.
func (w *writer) repeat() {
	if len(w.lines) > 0 {
		w.lines = append(w.lines, w.lines[w.rng.IntN(len(w.lines))])
	}
}

func (w *writer) overdraw() {
	w.emit(event.TypeFundsDebited, w.somebody(), data{"amount": int64(event.MaxAmount), "memo": "more than there is"}, "insufficient_funds")
}

func (w *writer) payNobody() {
	w.emit(event.TypeFundsTransferred, w.somebody(), data{"to": w.stranger(), "amount": w.sats()}, "unknown_payee")
}

func (w *writer) spendAsNobody() {
	w.emit(event.TypeFundsDebited, w.stranger(), data{"amount": w.sats()}, "unknown_wallet")
}

func (w *writer) payUnknownQuote() {
	w.emit(event.TypeQuotePaid, w.somebody(), data{"quote": fmt.Sprintf("%s/no-quote-%d", w.source, w.serial)}, "unknown_quote")
}

func (w *writer) payMyself() {
	npub := w.somebody()
	w.emit(event.TypeFundsTransferred, npub, data{"to": npub, "amount": w.sats()}, "self_transfer")
}
