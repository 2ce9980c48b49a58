package storagetest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/event"
)

var appendTests = []conformanceTest{
	{"answers new events and repeated ones and contradicting ones", answersEachEvent},
	{"answers repeats inside one call", answersRepeatsInOneCall},
	{"writes nothing for no events", appendsNothing},
	{"keeps topics and sources apart", keepsTopicsAndSourcesApart},
	{"keeps any bytes as data", keepsAnyBytes},
	{"tells bytes from the text that stands for them", tellsBytesFromText},
	{"keeps metadata", keepsMetadata},
	{"keeps times to the microsecond", keepsTimes},
	{"never records an event before the one ahead of it", recordsInOrder},
}

func answersEachEvent(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	a, b := event.Partition(alice), event.Partition(bob)
	want := []event.Receipt{{Result: event.Appended, Partition: a, Position: 1}, {Result: event.Appended, Partition: b, Position: 1}, {Result: event.Appended, Partition: a, Position: 2}}
	if diff := cmp.Diff(want, mustAppend(t, f.db, credit("1", alice, 5), credit("2", bob, 5), credit("3", alice, 7))); diff != "" {
		t.Fatalf("new events (-want +got):\n%s", diff)
	}

	same := credit("1", alice, 5)
	same.Time = moment.Add(time.Hour) // neither time nor metadata are content
	same.Metadata = map[string]string{"try": "2"}
	again := []event.Event{
		same,
		credit("2", bob, 6), // another amount
		credit("3", bob, 7), // another subject, in whose partition it is not
		credit("4", alice, 5),
		wallet("1", event.TypeFundsDebited, alice, `{"amount":5}`), // another type
	}
	want = []event.Receipt{
		{Result: event.Duplicate, Partition: a, Position: 1},
		{Result: event.Conflict, Partition: b, Position: 1},
		{Result: event.Conflict, Partition: a, Position: 2},
		{Result: event.Appended, Partition: a, Position: 3},
		{Result: event.Conflict, Partition: a, Position: 1},
	}
	got, err := f.db.Append(Context(t), topic, again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("known events (-want +got):\n%s", diff)
	}

	want[3].Result = event.Duplicate
	if got, err = f.another(t).Append(Context(t), topic, again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("known events on another handle (-want +got):\n%s", diff)
	}
	wantRows(t, f.db, "SELECT id, data FROM event_log ORDER BY id",
		`1 | {"amount":5}`, `2 | {"amount":5}`, `3 | {"amount":7}`, `4 | {"amount":5}`)
}

func answersRepeatsInOneCall(t *testing.T, f fixture) {
	alice, bob := strangers(2)[0], strangers(2)[1]
	a, b := event.Partition(alice), event.Partition(bob)
	mustAppend(t, f.db, credit("known", bob, 1))
	got, err := f.db.Append(Context(t), topic, []event.Event{
		credit("x", alice, 5),
		credit("x", alice, 5),
		credit("x", bob, 5),
		credit("x", alice, 6),
		credit("x", alice, 5),
		credit("known", bob, 2),
		credit("known", bob, 1),
		credit("known", bob, 1),
		credit("y", alice, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Receipt{
		{Result: event.Appended, Partition: a, Position: 1},
		{Result: event.Duplicate, Partition: a, Position: 1},
		{Result: event.Conflict, Partition: a, Position: 1},
		{Result: event.Conflict, Partition: a, Position: 1},
		{Result: event.Duplicate, Partition: a, Position: 1},
		{Result: event.Conflict, Partition: b, Position: 1},
		{Result: event.Duplicate, Partition: b, Position: 1},
		{Result: event.Duplicate, Partition: b, Position: 1},
		{Result: event.Appended, Partition: a, Position: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantRows(t, f.db, "SELECT id, data FROM event_log ORDER BY id", `known | {"amount":1}`, `x | {"amount":5}`, `y | {"amount":1}`)
}

func appendsNothing(t *testing.T, f fixture) {
	for _, none := range [][]event.Event{nil, {}} {
		receipts, err := f.db.Append(Context(t), topic, none)
		if err != nil || len(receipts) != 0 {
			t.Errorf("Append = %v, %v", receipts, err)
		}
	}
	wantRows(t, f.db, "SELECT id FROM event_log")
}

func keepsTopicsAndSourcesApart(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, credit("1", alice, 1))
	other := credit("1", alice, 2)
	other.Source = "/another"
	if r := mustAppend(t, f.db, other); r[0].Position != 2 {
		t.Errorf("the event of another source is at %d, want 2", r[0].Position)
	}
	receipts, err := f.db.Append(Context(t), "another", []event.Event{credit("1", alice, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].Result != event.Appended || receipts[0].Position != 1 {
		t.Errorf("the event of another topic: %+v, want it appended at 1", receipts[0])
	}
}

// roundTrip appends an event to a topic that is not the wallets' and reads it back in both ways.
func roundTrip(t *testing.T, f fixture, e event.Event) []event.Record {
	t.Helper()
	const other = "another"
	receipts, err := f.db.Append(Context(t), other, []event.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.db.Append(Context(t), other, []event.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	if again[0].Result != event.Duplicate {
		t.Errorf("what was appended is %s when it comes again", again[0].Result)
	}
	if err := f.db.Join(Context(t), other, group); err != nil {
		t.Fatal(err)
	}
	b, err := f.db.Claim(Context(t), other, group, []int{receipts[0].Partition}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback()
	found, err := f.db.Events(Context(t), other, e.Source, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || len(b.Records()) == 0 {
		t.Fatalf("%d events found by id, %d claimed", len(found), len(b.Records()))
	}
	return []event.Record{found[0], b.Records()[len(b.Records())-1]}
}

func keepsAnyBytes(t *testing.T, f fixture) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, data := range map[string][]byte{
		"nothing": {}, "text": []byte("plain é ☕ 😀"), "a NUL": {'a', 0, 'b'}, "every byte": every, "no UTF-8": {0xff, 0xfe},
		"half a rune": []byte("é")[:1], "quotes and backslashes": []byte(`'"\x00\`), "what looks like base64": []byte("AAEC"),
	} {
		e := event.Event{ID: name, Source: source, Type: "t", Subject: "s", Time: moment, Data: data, Metadata: map[string]string{"k": "v"}}
		for _, got := range roundTrip(t, f, e) {
			if diff := cmp.Diff(e, got.Event, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// tellsBytesFromText appends data that is no text, and then, under the same identity, each text that a backend might have
// stored in its place: they are other content.
func tellsBytesFromText(t *testing.T, f fixture) {
	e := event.Event{ID: "1", Source: source, Type: "t", Subject: "s", Time: moment, Data: []byte{0, 1, 0xff}}
	stored := roundTrip(t, f, e)[0]
	var text []string
	for _, column := range rows(t, f.db, "SELECT data FROM event_log") {
		text = append(text, column, "AAH/", `\x0001ff`)
	}
	for _, data := range text {
		other := e
		other.Data = []byte(data)
		got, err := f.db.Append(Context(t), stored.Topic, []event.Event{other})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Result != event.Conflict {
			t.Errorf("%q in the place of three bytes is a %s, want a conflict", data, got[0].Result)
		}
		other.ID = data
		for _, got := range roundTrip(t, f, other) {
			if diff := cmp.Diff(other, got.Event, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q (-want +got):\n%s", data, diff)
			}
		}
	}
}

func keepsMetadata(t *testing.T, f fixture) {
	for name, metadata := range map[string]map[string]string{
		"none": nil, "some": {"traceparent": "00-ab", "é": "☕\n\"'", "": "", "null": "null"}, "much": {"k": strings.Repeat("abcdefghij", 6000)},
	} {
		e := event.Event{ID: name, Source: source, Type: "t", Subject: "s", Time: moment, Data: []byte("{}"), Metadata: metadata}
		for _, got := range roundTrip(t, f, e) {
			if diff := cmp.Diff(e, got.Event, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func keepsTimes(t *testing.T, f fixture) {
	for name, at := range map[string]time.Time{
		"a microsecond":    time.Date(2026, 1, 2, 3, 4, 5, 1000, time.UTC),
		"a whole second":   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"before the epoch": time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		"another zone":     time.Date(2026, 1, 2, 3, 4, 5, 120_000_000, time.FixedZone("", 5*3600+30*60)),
		"far away":         time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	} {
		started := time.Now().Add(-time.Minute) // the server's clock and ours may differ
		e := event.Event{ID: name, Source: source, Type: "t", Subject: "s", Time: at, Data: []byte("{}")}
		for _, got := range roundTrip(t, f, e) {
			if !got.Time.Equal(at) || got.Time.Location() != time.UTC {
				t.Errorf("%s: %v came back as %v", name, at, got.Time)
			}
			if got.RecordedAt.Before(started) || got.RecordedAt.After(time.Now().Add(time.Minute)) || got.RecordedAt.Location() != time.UTC {
				t.Errorf("%s: recorded at %v", name, got.RecordedAt)
			}
		}
	}
}

// clockGoesBack moves the clock back by an hour, by moving what is recorded ahead of it.
func clockGoesBack(t *testing.T, db storage.DB) {
	t.Helper()
	ahead := "recorded_at + interval '1 hour'"
	if db.Dialect() == storage.SQLite {
		ahead = "strftime('%Y-%m-%dT%H:%M:%f000Z', recorded_at, '+1 hour')"
	}
	damage(t, db, "UPDATE event_log SET recorded_at = "+ahead)
}

func recordsInOrder(t *testing.T, f fixture) {
	alice := person(1)
	mustAppend(t, f.db, credit("1", alice, 1))
	clockGoesBack(t, f.db)
	mustAppend(t, f.db, credit("2", alice, 1), credit("3", alice, 1))
	join(t, f.db)
	var before time.Time
	for _, r := range mustClaim(t, f.db, event.Partition(alice), 10).Records() {
		if !r.RecordedAt.After(before) {
			t.Errorf("event %s was recorded at %v, the one ahead of it at %v", r.ID, r.RecordedAt, before)
		}
		before = r.RecordedAt
	}
	if before.Before(time.Now().Add(30 * time.Minute)) {
		t.Errorf("the last event was recorded at %v, before the first", before)
	}
}
