package terminal

import (
	"io"
	"strings"
)

// A Screen shows one text after another. On a terminal each is drawn in the place of the one before it; elsewhere it follows
// it, after an empty line.
type Screen struct {
	out   io.Writer
	live  bool
	shown bool
}

// NewScreen shows nothing yet.
func NewScreen(out io.Writer) *Screen { return &Screen{out: out, live: Is(out)} }

// Show shows a text of whole lines.
func (s *Screen) Show(text string) error {
	switch {
	case s.live:
		// From the top, each line up to its end, then nothing below: what stays the same does not flicker.
		text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
		if !s.shown {
			text = "\x1b[2J" + text
		}
	case s.shown:
		text = "\n" + text
	}
	s.shown = true
	_, err := io.WriteString(s.out, text)
	return err
}
