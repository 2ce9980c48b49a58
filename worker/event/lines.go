package event

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// byteOrderMark is what some editors put at the start of a UTF-8 file.
var byteOrderMark = []byte("\ufeff")

// A LineError says which line of a stream was refused.
type LineError struct {
	Line    int // 1 is the first
	Refusal *Refusal
}

// Error names the line and the refusal.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Refusal) }

// Unwrap returns the refusal.
func (e *LineError) Unwrap() error { return e.Refusal }

// A LineReader reads a stream of events, one structured JSON event a line. Its memory does not grow with the stream or
// with a line of it. It is used by one goroutine.
type LineReader struct {
	in   *bufio.Reader
	line int
	err  error // the end of the stream, for good
}

// NewLineReader returns a reader of the stream r.
func NewLineReader(r io.Reader) *LineReader {
	return &LineReader{in: bufio.NewReaderSize(r, MaxSize+len(byteOrderMark)+len("\r\n"))}
}

// Next reads the next event and tells its line; blank lines count, and are passed over. A line that is refused gives a
// *LineError, after which Next goes on with the line that follows. Any other error ends the stream and is returned
// again by later calls: io.EOF after the last line, or the error of the underlying reader, in which case a line that
// was read in part is dropped.
func (r *LineReader) Next() (line int, ev Event, err error) {
	for r.err == nil {
		text, size, err := r.read()
		if err != nil {
			r.err = err
			if !errors.Is(err, io.EOF) || size == 0 {
				break
			}
		}
		r.line++
		if size > MaxSize {
			return r.refuse(tooLarge("the line", size))
		}
		if text = bytes.Trim(text, " \t\r\n"); len(text) == 0 {
			continue
		}
		ev, err := Decode(text)
		var refusal *Refusal
		if errors.As(err, &refusal) {
			return r.refuse(refusal)
		}
		return r.line, ev, err
	}
	return r.line, Event{}, r.err
}

func (r *LineReader) refuse(refusal *Refusal) (int, Event, error) {
	return r.line, Event{}, &LineError{Line: r.line, Refusal: refusal}
}

// read returns a line without its end, and its length in bytes. Of a line that is too long it returns the length alone,
// having passed over it in pieces. The text is valid until the next read.
func (r *LineReader) read() (text []byte, size int, err error) {
	text, err = r.in.ReadSlice('\n')
	if r.line == 0 {
		text = bytes.TrimPrefix(text, byteOrderMark)
	}
	size = len(text)
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			text, err = r.in.ReadSlice('\n')
			size += len(text)
		}
		return nil, size - lineEnd(text), err
	}
	size -= lineEnd(text)
	return text[:size], size, err
}

// lineEnd is the length of the line's end in a text.
func lineEnd(text []byte) int {
	switch {
	case bytes.HasSuffix(text, []byte("\r\n")):
		return 2
	case bytes.HasSuffix(text, []byte("\n")):
		return 1
	}
	return 0
}
