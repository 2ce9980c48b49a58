package terminal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
)

func TestCountGroupsDigitsByThree(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567",
		-5: "-5", -1000: "-1,000", -123456: "-123,456",
	} {
		if got := terminal.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTableAlignsNumbersToTheRightAndKeepsWidthsBetweenPages(t *testing.T) {
	var out bytes.Buffer
	table := terminal.NewTable(&out, "NAME", ":BALANCE", "NOTE")
	table.Row("amélie", "1,000", "two\nlines")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	table.Row("bo", "7", "")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"NAME    BALANCE  NOTE",
		"amélie    1,000  two lines",
		"bo            7",
		"",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgressIsSilentForShortWorkThatNobodyWatches(t *testing.T) {
	var out bytes.Buffer
	p := terminal.NewProgress(&out)
	for range 1000 {
		p.Say(func() string { return "working" })
	}
	p.Clear()
	if out.Len() != 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestTextIsPlainWhereThereIsNoTerminal(t *testing.T) {
	if got := terminal.Bold(&bytes.Buffer{})("x"); got != "x" {
		t.Errorf("got %q", got)
	}
}
