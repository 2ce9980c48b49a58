package dbtest

import (
	"context"
	"time"
)

// Until asks until the answer is yes, and tells whether it was before the context ended. Whoever asks takes the processor from
// what is waited for, so the longer that takes, the more seldom it asks: every 2 ms at first, every 250 at last.
func Until(ctx context.Context, yes func() bool) bool {
	const often, seldom = 2 * time.Millisecond, 250 * time.Millisecond
	for began := time.Now(); !yes(); {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(max(time.Since(began)/4, often), seldom)):
		}
	}
	return true
}
