package terminal

import (
	"fmt"
	"io"
	"strings"
)

// A Table lines up its cells when it is flushed. A heading that begins with a colon stands over numbers, which are
// aligned to the right.
type Table struct {
	out   io.Writer
	right []bool
	rows  [][]string
	width []int
}

// NewTable begins a table with its headings.
func NewTable(out io.Writer, headings ...string) *Table {
	t := &Table{out: out, right: make([]bool, len(headings)), width: make([]int, len(headings))}
	row := make([]string, len(headings))
	for i, h := range headings {
		row[i], t.right[i] = strings.CutPrefix(h, ":")
	}
	t.add(row)
	return t
}

// Row adds a row; line breaks and other control characters in a cell are shown as spaces.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Line(fmt.Sprint(c))
	}
	t.add(row)
}

// Line is text that stays on its line: line breaks and other control characters become spaces.
func Line(text string) string { return strings.Map(printable, text) }

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

func (t *Table) add(row []string) {
	for i, c := range row {
		t.width[i] = max(t.width[i], len([]rune(c)))
	}
	t.rows = append(t.rows, row)
}

// Flush writes the table so far, and keeps the widths for what follows.
func (t *Table) Flush() error {
	for _, row := range t.rows {
		for i, c := range row {
			switch pad := strings.Repeat(" ", t.width[i]-len([]rune(c))); {
			case t.right[i]:
				row[i] = pad + c
			case i < len(row)-1:
				row[i] = c + pad
			}
		}
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(strings.Join(row, "  "), " ")); err != nil {
			return err
		}
	}
	t.rows = t.rows[:0]
	return nil
}
