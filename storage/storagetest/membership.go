package storagetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
)

var membershipTests = []conformanceTest{
	{"a beating replica is listed until it leaves", listsReplicas},
	{"the clock of the database on this machine is this machine's", clocksAgree},
	{"a replica that stopped beating is passed over", passesOverTheSilent},
}

func replicas(t *testing.T, db storage.DB, within time.Duration) []storage.Replica {
	t.Helper()
	list, err := db.Replicas(Context(t), within)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func beat(t *testing.T, db storage.DB, r storage.Replica) {
	t.Helper()
	if err := db.Beat(Context(t), r); err != nil {
		t.Fatal(err)
	}
}

func listsReplicas(t *testing.T, f fixture) {
	one := storage.Replica{Instance: "one", Version: "v1", Lanes: 4, State: "ready", Leader: true}
	two := storage.Replica{Instance: "two", Version: "v1", Lanes: 1, State: "starting"}
	beat(t, f.db, one)
	beat(t, f.another(t), two)
	byValue := cmp.Options{
		cmpopts.IgnoreFields(storage.Replica{}, "Since", "SeenAt"),
		cmpopts.SortSlices(func(a, b storage.Replica) bool { return a.Instance < b.Instance }),
	}
	first := replicas(t, f.db, time.Minute)
	if diff := cmp.Diff([]storage.Replica{one, two}, first, byValue); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for _, r := range first {
		if age := time.Since(r.SeenAt); age < -time.Minute || age > time.Minute || r.SeenAt.Before(r.Since) || r.Since.Location() != time.UTC {
			t.Errorf("%s is there since %v and was seen at %v", r.Instance, r.Since, r.SeenAt)
		}
	}

	two.State, two.Version, two.Lanes, two.Leader = "draining", "v2", 2, true
	beat(t, f.db, two)
	again := replicas(t, f.db, time.Minute)
	if diff := cmp.Diff([]storage.Replica{one, two}, again, byValue); diff != "" {
		t.Errorf("after another beat (-want +got):\n%s", diff)
	}
	for _, r := range again {
		for _, old := range first {
			if r.Instance == old.Instance && (!r.Since.Equal(old.Since) || r.SeenAt.Before(old.SeenAt)) {
				t.Errorf("%s was there since %v, seen at %v; after another beat since %v, seen at %v", r.Instance, old.Since, old.SeenAt, r.Since, r.SeenAt)
			}
		}
	}

	for range 2 { // leaving twice is no error
		if err := f.db.Leave(Context(t), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]storage.Replica{two}, replicas(t, f.db, time.Minute), byValue); diff != "" {
		t.Errorf("after one has left (-want +got):\n%s", diff)
	}
}

func clocksAgree(t *testing.T, f fixture) {
	offset, within, err := f.db.ClockOffset(Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if offset.Abs() > within+time.Microsecond { // PostgreSQL's times have no nanoseconds
		t.Errorf("one clock is said to be %s from itself, and that to be right within %s", offset, within)
	}
}

func passesOverTheSilent(t *testing.T, f fixture) {
	beat(t, f.db, storage.Replica{Instance: "silent", State: "ready"})
	ago := "now() - interval '1 hour'"
	if f.db.Dialect() == storage.SQLite {
		ago = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-1 hour')"
	}
	damage(t, f.db, "UPDATE safebox_replica SET seen_at = "+ago)
	if list := replicas(t, f.db, 59*time.Minute); len(list) != 0 {
		t.Errorf("listed: %+v", list)
	}
	if list := replicas(t, f.db, 61*time.Minute); len(list) != 1 {
		t.Errorf("%d replicas seen within 61 minutes, want 1: listing removes none", len(list))
	}
}
