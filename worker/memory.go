package worker

import "runtime/debug"

// How the heap of a process that runs replicas may grow. What a batch needs is garbage when it is committed, and what lives on
// is a few megabytes: by Go's default, which lets garbage be as much as that, a replica that drains a backlog spends a third of
// its processor time on collecting. Above heapLimit, which batches of the largest events come to, it is collected as it comes.
const (
	heapGrowth = 400       // percent of what lives
	heapLimit  = 256 << 20 // bytes
)

// TuneMemory sets how the heap of this process grows, unless the environment says how, by GOGC or GOMEMLIMIT.
func TuneMemory(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
}
