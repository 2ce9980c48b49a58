package worker

import (
	"testing"
	"time"
)

func TestTheSurestReadingOfTheLastMinuteTellsTheClock(t *testing.T) {
	var c readings
	for i, step := range []struct {
		offset, within, want time.Duration
	}{
		{9 * time.Millisecond, 20 * time.Millisecond, 9 * time.Millisecond},
		{1 * time.Millisecond, 2 * time.Millisecond, 1 * time.Millisecond},
		{50 * time.Millisecond, 60 * time.Millisecond, 1 * time.Millisecond},
	} {
		if got := c.add(reading{step.offset, step.within}); got != step.want {
			t.Errorf("after reading %d: %s, want %s", i+1, got, step.want)
		}
	}
	var got time.Duration
	for range len(c.last) {
		got = c.add(reading{time.Hour, time.Second})
	}
	if got != time.Hour {
		t.Errorf("a minute after the clock was moved: %s, want what it says now", got)
	}
}
