package bench

import (
	"testing"
	"time"
)

func TestTheWarmUpIsLeftOutOfTheLag(t *testing.T) {
	l := &lags{taken: []lag{{time.Second, 9 * time.Second}, {3 * time.Second, 2 * time.Millisecond}, {4 * time.Second, 4 * time.Millisecond}}}
	if got := l.after(warmUp(time.Minute)); got.Count != 2 || got.Max != 4 {
		t.Errorf("got %+v, want the last two", got)
	}
	if got := warmUp(time.Second); got != 200*time.Millisecond {
		t.Errorf("a second begins with a warm-up of %s, want a fifth of it", got)
	}
}
