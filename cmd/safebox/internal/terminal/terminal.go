package terminal

import (
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mattn/go-isatty"
)

// Is tells whether w is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// Bold returns a function that makes text stand out on w: with an escape sequence on a terminal, and unchanged elsewhere
// or where the variable NO_COLOR is set.
func Bold(w io.Writer) func(string) string {
	if !Is(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(s string) string { return s }
	}
	return func(s string) string { return "\x1b[1m" + s + "\x1b[0m" }
}

// Count writes a whole number with a comma between every three digits.
func Count[N ~int | ~int64](n N) string {
	return Digits(strconv.FormatInt(int64(n), 10))
}

// Digits puts a comma between every three digits of a whole number in decimal.
func Digits(s string) string {
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return sign + s
}

// Plural is a number of things in words: 1 event, 2 events.
func Plural[N ~int | ~int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// Moment writes a time for a table; nothing for the zero time.
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
