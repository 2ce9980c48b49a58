package worker

import (
	"math"
	"runtime/debug"
	"testing"
)

// It is not parallel: the settings are the process's.
func TestTheHeapGrowsAsTheEnvironmentSaysOrElseFurtherThanByDefault(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	TuneMemory(func(string) string { return "set" })
	if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != 100 || limit != math.MaxInt64 {
		t.Errorf("against the environment, the heap grows by %d %% up to %d bytes", percent, limit)
	}
	TuneMemory(func(string) string { return "" })
	if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != heapGrowth || limit != heapLimit {
		t.Errorf("the heap grows by %d %% up to %d bytes", percent, limit)
	}
}
