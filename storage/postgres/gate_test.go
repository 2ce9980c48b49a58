package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func enter(t *testing.T, g *gate, wallets ...int32) *ticket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticket, err := g.enter(ctx, wallets)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestBatchesOfOneWalletEnterOneByOneAndOthersAtOnce(t *testing.T) {
	var g gate
	first := enter(t, &g, 1, 2)
	other := enter(t, &g, 3)
	second, third := &ticket{wallets: []int32{2, 4}, first: make(chan struct{})}, &ticket{wallets: []int32{4}, first: make(chan struct{})}
	if g.join(second) || g.join(third) {
		t.Fatal("a batch entered before one that stores into the same wallet had left")
	}
	g.leave(other)
	g.leave(first)
	<-second.first
	select {
	case <-third.first:
		t.Fatal("a batch entered before the one that came before it")
	default:
	}
	g.leave(second)
	<-third.first
	g.leave(third)
	if len(g.queues) > 0 {
		t.Errorf("when all have left, there are still %d queues", len(g.queues))
	}
}

func TestABatchThatGivesUpAtTheGateIsInNobodysWay(t *testing.T) {
	var g gate
	inside := enter(t, &g, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx, []int32{2, 3}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	g.leave(enter(t, &g, 3)) // at once
	waiter := &ticket{wallets: []int32{1, 2}, first: make(chan struct{})}
	g.join(waiter)
	g.leave(inside)
	<-waiter.first
	g.leave(waiter)
	if len(g.queues) > 0 {
		t.Errorf("when all have left, there are still %d queues", len(g.queues))
	}
}

// Whatever wallets batches have, none waits for ever, and no two are inside for the same one.
func TestBatchesAtTheGate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sets := rapid.SliceOfN(rapid.SliceOfDistinct(rapid.Int32Range(0, 9), func(w int32) int32 { return w }), 2, 20).Draw(t, "wallets of the batches")
		var g gate
		var inside [10]atomic.Int32
		var wrong atomic.Bool
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var batches sync.WaitGroup
		for _, wallets := range sets {
			batches.Go(func() {
				ticket, err := g.enter(ctx, wallets)
				if err != nil {
					wrong.Store(true)
					return
				}
				for _, w := range wallets {
					wrong.CompareAndSwap(false, inside[w].Add(1) != 1)
				}
				for _, w := range wallets {
					inside[w].Add(-1)
				}
				g.leave(ticket)
			})
		}
		batches.Wait()
		if wrong.Load() || len(g.queues) > 0 {
			t.Fatalf("two were inside for one wallet, or one waited for ever; %d queues are left", len(g.queues))
		}
	})
}
