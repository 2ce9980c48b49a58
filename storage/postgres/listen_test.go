package postgres

import (
	"math"
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func TestAnAnnouncementCarriesThePositions(t *testing.T) {
	var all event.Positions
	for p := range all {
		all[p] = math.MaxInt64 - int64(p)
	}
	for _, want := range []event.Positions{{}, {0: 1}, {5: 12, 63: 7}, all} {
		payload := announcement("wallet", want)
		if got, ours := readAnnouncement(payload, "wallet"); got != want || !ours {
			t.Errorf("%q is read as %v, %t", payload, got, ours)
		}
		if _, ours := readAnnouncement(payload, "wall"); ours || len(payload) >= 8000 {
			t.Errorf("%q is taken for another topic's, or too long", payload)
		}
	}
}

// Whoever may connect to the database may notify: the positions are a hint, and nothing but one.
func TestWhatIsNoAnnouncementOnlyMakesTheReaderLook(t *testing.T) {
	for _, payload := range []string{" wallet", "x wallet", "5 wallet", "5:x wallet", "64:1 wallet", "-1:1 wallet", "5:1, wallet", "5:-3 wallet"} {
		if got, ours := readAnnouncement(payload, "wallet"); got != (event.Positions{}) || !ours {
			t.Errorf("%q is read as %v, %t", payload, got, ours)
		}
	}
}
