package event_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/worker/event"
)

func credit(id string) string {
	return structured(event.TypeFundsCredited, `{"amount":5}`, "id", quote(id))
}

// readAll reads a stream to its end; each line gives its number and the event's id or the refusal's reason.
type readLine struct {
	Line   int
	ID     string
	Reason string
}

func readAll(t *testing.T, r io.Reader) []readLine {
	t.Helper()
	lines := event.NewLineReader(r)
	var read []readLine
	for {
		line, ev, err := lines.Next()
		var bad *event.LineError
		switch {
		case errors.Is(err, io.EOF):
			return read
		case errors.As(err, &bad):
			if bad.Line != line {
				t.Errorf("Next tells line %d, its error line %d", line, bad.Line)
			}
			read = append(read, readLine{Line: line, Reason: bad.Refusal.Reason})
		case err != nil:
			t.Fatal(err)
		default:
			read = append(read, readLine{Line: line, ID: ev.ID})
		}
	}
}

func TestLineReaderReads(t *testing.T) {
	const (
		noObject = "expected one JSON object with a CloudEvents 1.0 event"
		tooLong  = "the line has 65537 bytes, and an event may have at most 65536"
	)
	padded := credit("a") + strings.Repeat(" ", event.MaxSize-len(credit("a")))
	for _, tc := range []struct {
		name, stream string
		want         []readLine
	}{
		{"nothing", "", nil},
		{"blank lines alone", "\n \r\n\t\n  ", nil},
		{"a line", credit("a") + "\n", []readLine{{1, "a", ""}}},
		{"a last line without an end", credit("a") + "\n" + credit("b"), []readLine{{1, "a", ""}, {2, "b", ""}}},
		{"lines of Windows", credit("a") + "\r\n\r\n" + credit("b") + "\r\n", []readLine{{1, "a", ""}, {3, "b", ""}}},
		{"a byte order mark at the start", "\ufeff" + credit("a") + "\n", []readLine{{1, "a", ""}}},
		{"a byte order mark alone", "\ufeff", nil},
		{"a byte order mark further on", credit("a") + "\n\ufeff" + credit("b"), []readLine{{1, "a", ""}, {2, "", noObject}}},
		{"a bad line between good ones", credit("a") + "\noops\n" + credit("b") + "\n", []readLine{{1, "a", ""}, {2, "", noObject}, {3, "b", ""}}},
		{"a line of the largest size", padded + "\n" + credit("b"), []readLine{{1, "a", ""}, {2, "b", ""}}},
		{"a line of the largest size after a byte order mark", "\ufeff" + padded + "\r\n" + credit("b"), []readLine{{1, "a", ""}, {2, "b", ""}}},
		{"a line one byte longer", padded + " \n" + credit("b"), []readLine{{1, "", tooLong}, {2, "b", ""}}},
		{"a last line one byte longer", padded + " ", []readLine{{1, "", tooLong}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, readAll(t, strings.NewReader(tc.stream))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, readAll(t, iotest.OneByteReader(strings.NewReader(tc.stream)))); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALineErrorNamesTheLineAndTheEvent(t *testing.T) {
	bad := structured(event.TypeFundsCredited, `{"amount":-5}`, "id", `"b"`)
	lines := event.NewLineReader(strings.NewReader("\n" + bad))
	_, _, err := lines.Next()
	const want = `line 2: event "b" from "/tests" refused: data.amount: ` +
		`expected a whole number of sats from 1 to 9007199254740991, found -5`
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
	var refusal *event.Refusal
	if !errors.As(err, &refusal) || refusal.Field != "data.amount" {
		t.Errorf("the line's error holds no refusal of the amount: %v", err)
	}
}

func TestALineOfAHundredMegabytesIsRefusedWithItsLengthAndNotKept(t *testing.T) {
	const size = 100 << 20
	stream := io.MultiReader(io.LimitReader(repeating('x'), size), strings.NewReader("\n"+credit("b")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := readAll(t, stream)
	runtime.ReadMemStats(&after)
	want := []readLine{{1, "", "the line has 104857600 bytes, and an event may have at most 65536"}, {2, "b", ""}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("reading it took %d bytes of memory", used)
	}
}

// repeating is a reader of one byte without end.
type repeating byte

func (r repeating) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

func TestAnErrorOfTheStreamEndsItForGood(t *testing.T) {
	broken := errors.New("cable cut")
	for name, head := range map[string]string{
		"between two lines":      credit("a") + "\n",
		"inside a line":          credit("a") + "\n" + credit("b")[:20],
		"inside a line too long": credit("a") + "\n" + strings.Repeat("x", 2*event.MaxSize),
	} {
		t.Run(name, func(t *testing.T) {
			lines := event.NewLineReader(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)))
			if _, ev, err := lines.Next(); err != nil || ev.ID != "a" {
				t.Fatalf("Next = %v, %v; want the event a", ev, err)
			}
			for range 2 {
				if _, _, err := lines.Next(); !errors.Is(err, broken) {
					t.Errorf("Next = %v, want the stream's error", err)
				}
			}
		})
	}
}

func TestAnEventDoesNotChangeWhenTheNextIsRead(t *testing.T) {
	lines := event.NewLineReader(strings.NewReader(credit("aaaa") + "\n" + credit("bbbb")))
	_, first, err := lines.Next()
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(first.Data)
	if _, _, err := lines.Next(); err != nil {
		t.Fatal(err)
	}
	if first.ID != "aaaa" || !bytes.Equal(first.Data, data) {
		t.Errorf("the first event became %+v", first)
	}
}
