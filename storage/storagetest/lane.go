package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// join gives the group its cursors.
func join(t *testing.T, db storage.DB) {
	t.Helper()
	if err := db.Join(Context(t), topic, group); err != nil {
		t.Fatal(err)
	}
}

// mustClaim claims a partition that is free. The batch is rolled back with the test unless it ends before.
func mustClaim(t *testing.T, db storage.DB, partition, limit int) event.Batch {
	t.Helper()
	b, err := db.Claim(Context(t), topic, group, []int{partition}, limit)
	if err != nil {
		t.Fatalf("claiming partition %d: %v", partition, err)
	}
	t.Cleanup(b.Rollback)
	return b
}

// partitionOf is the partition that a batch has, which must be one.
func partitionOf(b event.Batch) int {
	for p := range b.Cursors() {
		if len(b.Cursors()) == 1 {
			return p
		}
	}
	panic(fmt.Sprintf("the batch has the partitions of %v, want one", b.Cursors()))
}

func cursorOf(b event.Batch) int64 { return b.Cursors()[partitionOf(b)] }

// commit moves the cursor of the batch's one partition.
func commit(ctx context.Context, b event.Batch, upTo int64) error {
	return b.Commit(ctx, map[int]int64{partitionOf(b): upTo})
}

func mustCommit(t *testing.T, b event.Batch, upTo int64) {
	t.Helper()
	if err := commit(Context(t), b, upTo); err != nil {
		t.Fatalf("committing up to %d: %v", upTo, err)
	}
}

// refused tells whether an error says that a partition, or the whole file, is somebody else's for now.
func refused(err error) bool {
	var passing interface{ Transient() bool }
	return errors.Is(err, event.ErrClaimed) || errors.As(err, &passing) && passing.Transient()
}

// apply folds a batch and stores what came of it; the caller commits. It names the outcomes of the events in order.
func apply(ctx context.Context, b event.Batch) ([]string, error) {
	tx, ok := b.(ledger.Tx)
	if !ok {
		return nil, errors.New("the batch of this backend is no ledger.Tx")
	}
	var commands []ledger.Command
	for _, r := range b.Records() {
		r, err := tx.Open(r)
		if err != nil {
			return nil, err
		}
		p, err := event.DecodePayload(r.Type, r.Data)
		if err != nil {
			return nil, err
		}
		commands = append(commands, ledger.Command{Record: r, Payload: p})
	}
	state, err := tx.Load(ctx, ledger.KeysOf(commands))
	if err != nil {
		return nil, err
	}
	var outcomes []string
	for _, c := range commands {
		out, err := state.Fold(c)
		if err != nil {
			return nil, err
		}
		if out.Kind == ledger.Applied {
			outcomes = append(outcomes, "applied")
		} else {
			outcomes = append(outcomes, string(out.Reason))
		}
	}
	return outcomes, tx.Store(ctx, state.Changes())
}

// process takes one batch of a partition through claim, load, fold, store and commit, and tells how many events it had.
func process(ctx context.Context, db storage.DB, partition, limit int) (int, error) {
	b, err := db.Claim(ctx, topic, group, []int{partition}, limit)
	if err != nil {
		return 0, err
	}
	defer b.Rollback()
	records := b.Records()
	if len(records) == 0 {
		return 0, nil
	}
	if _, err := apply(ctx, b); err != nil {
		return 0, err
	}
	return len(records), commit(ctx, b, records[len(records)-1].Position)
}

// drain processes all that is pending, partition by partition, as the only lane there is. An event that waits for another
// partition is tried again after the others.
func drain(t *testing.T, db storage.DB) {
	t.Helper()
	join(t, db)
	for waiting := true; waiting; {
		waiting = false
		progress := 0
		for p := range event.Partitions {
			n, err := processAll(Context(t), db, p)
			progress += n
			var await *ledger.AwaitError
			if errors.As(err, &await) {
				waiting = true
			} else if err != nil {
				t.Fatalf("partition %d: %v", p, err)
			}
		}
		if waiting && progress == 0 {
			t.Fatal("what is pending waits for itself")
		}
	}
}

// processAll empties a partition. As a lane does, it halves a batch that breaks a unique index or has to wait.
func processAll(ctx context.Context, db storage.DB, partition int) (done int, err error) {
	for limit := 500; ; {
		n, err := process(ctx, db, partition, limit)
		var await *ledger.AwaitError
		switch {
		case err == nil && n == 0:
			return done, nil
		case err == nil:
			done += n
		case limit > 1 && (storage.ClassOf(err) == storage.Unique || errors.As(err, &await)):
			limit /= 2
		default:
			return done, err
		}
	}
}
