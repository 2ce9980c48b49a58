package torture

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Event is an event as its client means it.
type Event struct {
	Source  string          `json:"source"`
	ID      string          `json:"id"`
	Type    string          `json:"type"` // a name of the catalogue, as in funds.credited
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
	Meant   Meaning         `json:"meant,omitempty"`
}

// Meaning is what a client expects of an event beside an ordinary answer.
type Meaning string

// The meanings.
const (
	Fresh    Meaning = ""         // new to the log
	Repeat   Meaning = "repeat"   // was acknowledged before
	Conflict Meaning = "conflict" // has the identity of an acknowledged event, and other content
	Bad      Meaning = "bad"      // is no event of the catalogue: its field data.amount is wrong
)

// badField is the field that is wrong in what is meant to be bad.
const badField = "data.amount"

// Op says what a line of a history tells.
type Op string

// The lines of a history.
const (
	Sent     Op = "sent"     // Event was sent, for the first time or again
	Answered Op = "answered" // Event's identity was answered with Result
	Wallet   Op = "wallet"   // Subject's wallet was read: Entries and Balance
	Head     Op = "head"     // the last position of Partition was read: Position
)

// The results of an answer: those of the HTTP interface, and Taken, which says that `event publish` ended well.
const (
	ResultAppended  = "appended"
	ResultDuplicate = "duplicate"
	ResultConflict  = "conflict"
	ResultRefused   = "refused"
	ResultTaken     = "taken"
)

// Line is one line of a history. Times are in nanoseconds since 1970.
type Line struct {
	Op    Op     `json:"op"`
	Began int64  `json:"began,omitempty"` // of a read
	At    int64  `json:"at"`              // it was about to be sent, or the answer was there
	Event *Event `json:"event,omitempty"`

	Source    string `json:"source,omitempty"`
	ID        string `json:"id,omitempty"`
	Result    string `json:"result,omitempty"`
	Field     string `json:"field,omitempty"` // that was refused
	Partition int    `json:"partition"`
	Position  int64  `json:"position,omitempty"` // 0: the answer did not tell

	Subject string `json:"subject,omitempty"`
	Entries int64  `json:"entries,omitempty"`
	Balance int64  `json:"balance,omitempty"`
}

// History is what one client wrote down, in order.
type History struct {
	Client string
	Lines  []Line
}

// Journal writes a history to a file as JSON lines. Each line is handed to the system at once, so that a client that is killed
// leaves what it knew.
type Journal struct{ file *os.File }

// NewJournal makes the file.
func NewJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &Journal{f}, err
}

func (j *Journal) write(lines ...Line) error {
	var b []byte
	for _, l := range lines {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b = append(append(b, text...), '\n')
	}
	_, err := j.file.Write(b)
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// ReadHistory reads a journal. A last line that was cut off is left out.
func ReadHistory(client, path string) (History, error) {
	h := History{Client: client}
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			return h, fmt.Errorf("%s: line %d: %w", path, len(h.Lines)+1, err)
		}
		h.Lines = append(h.Lines, l)
	}
}

func now() int64 { return time.Now().UnixNano() }
