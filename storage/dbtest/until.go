package dbtest

import "time"

// Until asks until the answer is yes, and tells whether it was within the time. Whoever asks takes the processor from what is
// waited for, so the longer that takes, the more seldom it asks: every 2 ms at first, every 250 at last.
func Until(within time.Duration, yes func() bool) bool {
	const often, seldom = 2 * time.Millisecond, 250 * time.Millisecond
	for began := time.Now(); !yes(); {
		waited := time.Since(began)
		if waited >= within {
			return false
		}
		<-time.After(min(max(waited/4, often), seldom, within-waited))
	}
	return true
}
