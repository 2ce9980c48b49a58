package event_test

import (
	"strings"
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func TestAPlaceIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]event.Place{
		"0.0": {}, "17.42": {Partition: 17, Position: 42}, "63.9223372036854775807": {Partition: 63, Position: 1<<63 - 1},
	} {
		var p event.Place
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want || p.String() != text {
			t.Errorf("%q is read as %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", ".", "17", "17.", ".42", "64.1", "-1.1", "1.-1", "01.1", "1.01", "+1.1", "1.9223372036854775808", "1.2.3", " 1.2", "1,2", "a.b"} {
		var p event.Place
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "17.42") || p != (event.Place{}) {
			t.Errorf("%q is read as %+v, %v", text, p, err)
		}
	}
}

func FuzzPlace(f *testing.F) {
	for _, text := range []string{"0.0", "17.42", "64.1", "1.01", "1.-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p event.Place
		if err := p.UnmarshalText([]byte(text)); err == nil && (p.String() != text || p.Partition < 0 || p.Partition >= event.Partitions || p.Position < 0) {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}
