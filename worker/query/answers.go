package query

import (
	"context"
	"errors"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// ParkedList is a page of the list of parked events, with how many there are in all.
type ParkedList struct {
	Events  []event.Parked `json:"events"`
	Total   int64          `json:"total"`   // parked events of all subjects
	Wallets int64          `json:"wallets"` // the subjects that wait behind one
	// Next is what to ask for next, as after; null where the list ends.
	Next *event.Place `json:"next"`
}

// Answers asks one database on behalf of a program that serves others.
type Answers struct {
	DB storage.DB
	StatusOptions
}

// Event is the event of a source and an id with what became of it; event.ErrNotFound if there is none.
func (a Answers) Event(ctx context.Context, source, id string) (Event, error) {
	found, err := Events(ctx, a.DB, a.Group, source, id)
	if err != nil {
		return Event{}, err
	}
	return found[0], nil
}

// Wallet finds a wallet by npub, handle or custom handle; event.ErrNotFound if there is none.
func (a Answers) Wallet(ctx context.Context, key string) (ledger.Wallet, error) {
	return a.DB.Wallet(ctx, key)
}

// Entries lists the numbered entries of a wallet's journal after a number, the oldest first; at most limit. Entries without a
// number are no part of it: they are of events that came before the wallet, and were rejected.
func (a Answers) Entries(ctx context.Context, npub string, after int64, limit int) ([]ledger.Entry, error) {
	if after == 0 {
		after = -1 // below every number, and past the entries that have none
	}
	return a.DB.Entries(ctx, npub, after, limit)
}

// Status is the cluster as it is now.
func (a Answers) Status(ctx context.Context) (Status, error) {
	return ReadStatus(ctx, a.DB, a.StatusOptions)
}

// Parked lists parked events of one subject, which may go by the handle of a wallet, or of all (""), after a place of the log; at
// most limit.
func (a Answers) Parked(ctx context.Context, subject string, after event.Place, limit int) (ParkedList, error) {
	list := ParkedList{Events: []event.Parked{}}
	if subject != "" {
		w, err := a.DB.Wallet(ctx, subject)
		if err != nil && !errors.Is(err, event.ErrNotFound) {
			return list, err
		}
		if err == nil {
			subject = w.Npub
		}
	}
	parked, err := a.DB.Parked(ctx, event.Topic, a.Group, subject, after, limit+1)
	if err != nil {
		return list, err
	}
	if len(parked) > limit {
		parked = parked[:limit]
		next := parked[limit-1].Place()
		list.Next = &next
	}
	list.Events = append(list.Events, parked...)
	list.Total, list.Wallets, err = a.DB.ParkedCount(ctx, event.Topic, a.Group)
	return list, err
}
