package bus

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/safebox/safebox/worker/event"
)

// The metadata of a message that carry an event's attributes, as CloudEvents' binary mode names them.
const (
	metaSource  = "ce_source"
	metaType    = "ce_type"
	metaSubject = "ce_subject"
	metaTime    = "ce_time"
)

// The metadata that tell where in the log a message comes from.
const (
	metaPartition = "safebox_partition"
	metaPosition  = "safebox_position"
	metaEvents    = "safebox_events"
)

// defaultSource is the source of messages that name none: their UUIDs identify them among themselves.
const defaultSource = "watermill"

// toMessage makes the message of a record: the UUID is the event's id, the payload its data.
func toMessage(r event.Record) *message.Message {
	m := message.NewMessage(r.ID, r.Data)
	maps.Copy(m.Metadata, r.Metadata)
	m.Metadata[metaSource] = r.Source
	m.Metadata[metaType] = r.Type
	m.Metadata[metaSubject] = r.Subject
	m.Metadata[metaTime] = r.Time.Format(time.RFC3339Nano)
	m.Metadata[metaPartition] = strconv.Itoa(r.Partition)
	m.Metadata[metaPosition] = strconv.FormatInt(r.Position, 10)
	return m
}

// batchMessage makes the one message in which the records of a batch, at least one, go to a handler with a session: through a
// router, a message each would cost more than what the ledger does with it. The records are in its context; it has no payload.
func batchMessage(records []event.Record) *message.Message {
	first := records[0]
	partition, position := strconv.Itoa(first.Partition), strconv.FormatInt(first.Position, 10)
	m := message.NewMessage(first.Topic+"/"+partition+"/"+position, nil)
	m.Metadata[metaPartition] = partition
	m.Metadata[metaPosition] = position
	m.Metadata[metaEvents] = strconv.Itoa(len(records))
	return m
}

// toEvent makes the event of a message. On the wallet topic it passes the same door as every other event; elsewhere
// missing attributes have defaults: the subject, which orders, is then the UUID.
func toEvent(topic string, m *message.Message) (event.Event, error) {
	e := event.Event{
		ID: m.UUID, Source: m.Metadata[metaSource], Type: m.Metadata[metaType], Subject: m.Metadata[metaSubject], Data: m.Payload,
	}
	for k, v := range m.Metadata {
		switch k {
		case metaSource, metaType, metaSubject, metaTime, metaPartition, metaPosition:
		default:
			if e.Metadata == nil {
				e.Metadata = map[string]string{}
			}
			e.Metadata[k] = v
		}
	}
	if text := m.Metadata[metaTime]; text != "" {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return e, fmt.Errorf("message %s: metadata %s: %w", m.UUID, metaTime, err)
		}
		e.Time = t.UTC().Truncate(time.Microsecond)
	} else {
		e.Time = time.Now().UTC().Truncate(time.Microsecond)
	}
	if topic == event.Topic {
		return event.Decode(event.Encode(e))
	}
	if e.Source == "" {
		e.Source = defaultSource
	}
	if e.Type == "" {
		e.Type = defaultSource + ".message"
	}
	if e.Subject == "" {
		e.Subject = m.UUID
	}
	return e, nil
}
