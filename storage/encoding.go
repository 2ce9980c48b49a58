package storage

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/safebox/safebox/worker/event"
)

// encodingKey marks, in the stored metadata, data that is no text and was stored in base64.
const encodingKey = "safebox-data-encoding"

// EncodeRecord gives the two text columns of an event: its data, and its metadata as JSON, nil when there is none.
// Data that a text column cannot hold is stored in base64.
func EncodeRecord(e event.Event) (data string, metadata *string, err error) {
	m := e.Metadata
	data = string(e.Data)
	if !utf8.ValidString(data) || strings.IndexByte(data, 0) >= 0 {
		data = base64.StdEncoding.EncodeToString(e.Data)
		m = maps.Clone(m)
		if m == nil {
			m = map[string]string{}
		}
		m[encodingKey] = "base64"
	}
	if len(m) == 0 {
		return data, nil, nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", nil, fmt.Errorf("metadata of event %s: %w", e.ID, err)
	}
	s := string(b)
	return data, &s, nil
}

// DecodeRecord sets the data and the metadata of an event from the two columns.
func DecodeRecord(e *event.Event, data string, metadata *string) error {
	e.Data = []byte(data)
	if metadata == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(*metadata), &e.Metadata); err != nil {
		return fmt.Errorf("metadata of event %s: %w", e.ID, err)
	}
	if e.Metadata[encodingKey] != "base64" {
		return nil
	}
	delete(e.Metadata, encodingKey)
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return fmt.Errorf("data of event %s: %w", e.ID, err)
	}
	e.Data = b
	return nil
}
