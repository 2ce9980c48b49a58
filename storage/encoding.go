package storage

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/safebox/safebox/worker/event"
)

// encoded stands, in the column, before data that is stored in base64. Text that begins like this is stored in base64
// too, so that two data are the same if and only if their columns are: the statements of append compare columns.
const encoded = "base64:"

// EncodeRecord gives the two text columns of an event: its data, and its metadata as JSON, nil when there is none.
// Data that a text column cannot hold is stored in base64.
func EncodeRecord(e event.Event) (data string, metadata *string, err error) {
	data = string(e.Data)
	if !utf8.ValidString(data) || strings.IndexByte(data, 0) >= 0 || strings.HasPrefix(data, encoded) {
		data = encoded + base64.StdEncoding.EncodeToString(e.Data)
	}
	if len(e.Metadata) == 0 {
		return data, nil, nil
	}
	b, err := json.Marshal(e.Metadata)
	if err != nil {
		return "", nil, fmt.Errorf("metadata of event %s: %w", e.ID, err)
	}
	s := string(b)
	return data, &s, nil
}

// DecodeRecord sets the data and the metadata of an event from the two columns. It keeps data.
func DecodeRecord(e *event.Event, data []byte, metadata *string) error {
	e.Data = data
	if inner, ok := bytes.CutPrefix(data, []byte(encoded)); ok {
		b, err := base64.StdEncoding.DecodeString(string(inner))
		if err != nil {
			return fmt.Errorf("data of event %s: %w", e.ID, err)
		}
		e.Data = b
	}
	if metadata == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(*metadata), &e.Metadata); err != nil {
		return fmt.Errorf("metadata of event %s: %w", e.ID, err)
	}
	return nil
}
