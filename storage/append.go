package storage

import "github.com/safebox/safebox/worker/event"

type identity struct{ source, id string }

// AppendDistinct answers an append whose events may repeat an identity, by a write that may not: write gets events with
// distinct identities, appends those that are new, and answers each. A repeat with the content of an earlier event shares
// its fate; a repeat with other content is looked up in a second write, where nothing of it can be new any more.
func AppendDistinct(events []event.Event, write func([]event.Event) ([]event.Receipt, error)) ([]event.Receipt, error) {
	first := make(map[identity]int, len(events)) // identity → its place in unique
	unique, repeats := make([]event.Event, 0, len(events)), 0
	place := make([]int, len(events)) // event → its place in unique; −1: to be looked up
	for i, e := range events {
		key := identity{e.Source, e.ID}
		at, seen := first[key]
		switch {
		case !seen:
			at = len(unique)
			first[key] = at
			unique = append(unique, e)
		case !e.SameContent(unique[at]):
			at = -1
			repeats++
		}
		place[i] = at
	}
	receipts, err := write(unique)
	if err != nil || (repeats == 0 && len(unique) == len(events)) {
		return receipts, err
	}
	answered := make([]bool, len(unique))
	all := make([]event.Receipt, len(events))
	var later []event.Event
	var laterAt []int
	for i, at := range place {
		if at < 0 {
			later, laterAt = append(later, events[i]), append(laterAt, i)
			continue
		}
		all[i] = receipts[at]
		if answered[at] && all[i].Result == event.Appended {
			all[i].Result = event.Duplicate
		}
		answered[at] = true
	}
	if len(later) == 0 {
		return all, nil
	}
	more, err := AppendDistinct(later, write)
	if err != nil {
		return nil, err
	}
	for j, i := range laterAt {
		all[i] = more[j]
	}
	return all, nil
}
