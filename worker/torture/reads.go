package torture

import (
	"slices"
	"sort"
)

// circles looks for an order that all partitions and all wallets agree on: an event comes after the one before it in its
// partition, and after the one before it in the journal of each wallet that it touched.
func (c *checker) circles() {
	index := make(map[Place]int, len(c.books.Log))
	for i, r := range c.books.Log {
		index[r.Place] = i
	}
	after := make([][]int, len(c.books.Log))
	waits := make([]int, len(c.books.Log))
	edge := func(from, to Place) {
		f, ok := index[from]
		t, also := index[to]
		if ok && also && f != t {
			after[f] = append(after[f], t)
			waits[t]++
		}
	}
	for _, r := range c.books.Log {
		edge(Place{r.Partition, r.Position - 1}, r.Place)
	}
	for _, chain := range c.chains {
		for i := 1; i < len(chain); i++ {
			edge(chain[i-1].Place, chain[i].Place)
		}
	}
	var ready []int
	for i, n := range waits {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	done := 0
	for ; len(ready) > 0; done++ {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, next := range after[i] {
			if waits[next]--; waits[next] == 0 {
				ready = append(ready, next)
			}
		}
	}
	if done == len(waits) {
		return
	}
	i := slices.IndexFunc(waits, func(n int) bool { return n > 0 })
	c.broken(OutOfOrder, "%d events come each after the other, the first at %d/%d", len(waits)-done, c.books.Log[i].Partition, c.books.Log[i].Position)
}

// reads holds what a client read against the journal.
func (c *checker) reads(h History) {
	acknowledged := map[int]int64{} // the last position by partition
	for _, l := range h.Lines {
		switch l.Op {
		case Answered:
			acknowledged[l.Partition] = max(acknowledged[l.Partition], l.Position)
		case Head:
			c.report.Reads++
			if l.Position < acknowledged[l.Partition] {
				c.broken(Stale, "%s read that partition %d ends at %d, and knew of position %d", h.Client, l.Partition, l.Position, acknowledged[l.Partition])
			}
		case Wallet:
			c.report.Reads++
			chain := c.chains[l.Subject]
			switch {
			case l.Entries > int64(len(chain)):
				c.broken(Stale, "%s read that %s has %d entries, and it has %d at the end", h.Client, l.Subject, l.Entries, len(chain))
			case l.Entries > 0 && chain[l.Entries-1].Balance != l.Balance:
				c.broken(Stale, "%s read that %s has %d sats after %d entries, and its journal says %d",
					h.Client, l.Subject, l.Balance, l.Entries, chain[l.Entries-1].Balance)
			}
		}
	}
}

// overtaken looks for a read that shows less than one which had ended before it began, whoever read.
func (c *checker) overtaken(histories []History) {
	bySubject := map[string][]Line{}
	for _, h := range histories {
		for _, l := range h.Lines {
			if l.Op == Wallet {
				bySubject[l.Subject] = append(bySubject[l.Subject], l)
			}
		}
	}
	for subject, reads := range bySubject {
		ended := slices.Clone(reads)
		sort.Slice(ended, func(i, k int) bool { return ended[i].At < ended[k].At })
		sort.Slice(reads, func(i, k int) bool { return reads[i].Began < reads[k].Began })
		next := 0
		var most int64
		for _, r := range reads {
			for ; next < len(ended) && ended[next].At < r.Began; next++ {
				most = max(most, ended[next].Entries)
			}
			if r.Entries < most {
				c.broken(Stale, "a read of %s shows %d entries, and an earlier one had shown %d", subject, r.Entries, most)
			}
		}
	}
}
