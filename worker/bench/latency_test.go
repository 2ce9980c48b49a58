package bench

import (
	"testing"
	"time"
)

func TestTheWarmUpIsLeftOutOfTheLag(t *testing.T) {
	l := &lags{taken: []lag{{time.Second, 9 * time.Second}, {3 * time.Second, 2 * time.Millisecond}, {4 * time.Second, 4 * time.Millisecond}}}
	warm := l.after(warmUp(time.Minute))
	if got := latencyOf(warm); got.Count != 2 || got.Max != 4 {
		t.Errorf("got %+v, want the last two", got)
	}
	if got := windows(warm, 4*time.Second); len(got) != 2 || got[0].Max != 2 || got[1].Max != 4 {
		t.Errorf("got the windows %+v, want one for each of the last two", got)
	}
	if got := warmUp(time.Second); got != 200*time.Millisecond {
		t.Errorf("a second begins with a warm-up of %s, want a fifth of it", got)
	}
}
