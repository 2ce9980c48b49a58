package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/safebox/safebox/initlock"
)

// takenDown says that the schema is below the revision that the replica became ready on: somebody took it down. What the
// replica works with is gone then. It must not bring it back of its own accord, against whoever took it down; nor may it
// end, since an orchestrator would start it again, and a start does bring it back. So it waits, alive and not ready.
type takenDown struct {
	By, To, From string // revisions; To is "" for base
}

func (e *takenDown) Error() string {
	return fmt.Sprintf("%s took the schema down to %s: this replica waits until it is at %s again, which `safebox migrate upgrade` or the "+
		"start of another replica makes it", e.By, cmp.Or(e.To, "base"), e.From)
}

// Transient says that the same may succeed later.
func (*takenDown) Transient() bool { return true }

// below tells whether the marker says that the schema was taken down; nil where it was not. While somebody is at it, and
// where there is no marker, nothing is known.
func (r *Replica) below(m initlock.Record) *takenDown {
	ours := r.revision
	if m.State != initlock.Ready || ours == "" || m.Revision >= ours {
		return nil
	}
	return &takenDown{By: m.Holder, To: m.Revision, From: ours}
}

// lookAgain is about how long a replica whose schema was taken down waits between two looks at the marker.
const lookAgain = time.Second

// awaitSchema waits until the schema is at the replica's revision again, or ctx ends.
func (r *Replica) awaitSchema(ctx context.Context, down *takenDown) error {
	r.setPhase(starting)
	r.down.Store(down)
	defer r.down.Store(nil)
	r.logger.Warn("processing stands still: the schema was taken down", "by", down.By, "revision", down.To, "expected", down.From)
	r.tell.Status(down.Error())
	for {
		timer := time.NewTimer(lookAgain/2 + rand.N(lookAgain))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		m, err := r.readMarker(ctx)
		r.vitals.cameRound()
		switch {
		case err != nil:
			r.logger.Debug("the ready marker could not be read; trying again", "error", err)
		case m.State == initlock.Ready && m.Revision >= r.revision:
			r.logger.Info("the schema is back: processing goes on", "by", m.Holder, "revision", m.Revision)
			return nil
		}
		if r.options.Observer != nil {
			r.options.Observer.Unmeasured()
			if err == nil {
				r.options.Observer.Marker(m.State)
			}
		}
	}
}

func (r *Replica) readMarker(ctx context.Context) (initlock.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	return r.options.DB.Marker().Read(ctx)
}

// asDown is the takenDown in the cause of a context; nil where that ended for another reason.
func asDown(ctx context.Context) *takenDown {
	var down *takenDown
	errors.As(context.Cause(ctx), &down)
	return down
}
