package event_test

import (
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func TestNewsThatNobodyTookAreMerged(t *testing.T) {
	anything := event.Positions{}
	for name, tc := range map[string]struct {
		put  []event.Positions
		want event.Positions
	}{
		"one":                 {[]event.Positions{{1: 5}}, event.Positions{1: 5}},
		"the furthest":        {[]event.Positions{{1: 5, 2: 9}, {1: 7}, {2: 3, 3: 1}}, event.Positions{1: 7, 2: 9, 3: 1}},
		"anything, then one":  {[]event.Positions{anything, {1: 5}}, anything},
		"one, then anything":  {[]event.Positions{{1: 5}, anything}, anything},
		"anything in between": {[]event.Positions{{1: 5}, anything, {2: 1}}, anything},
	} {
		t.Run(name, func(t *testing.T) {
			n := event.NewNews()
			for _, p := range tc.put {
				n.Put(p)
			}
			if got := <-n; got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
