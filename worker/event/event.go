package event

import (
	"bytes"
	"hash/fnv"
	"time"
)

// Topic is the topic of the wallet events in the event log.
const Topic = "wallet"

// Partitions is the number of partitions of every topic. Order holds inside a partition, and the subject decides it.
const Partitions = 64

// MaxSize is the largest event, in bytes of its structured JSON form, that is accepted at the door.
const MaxSize = 64 << 10

// An Event is a CloudEvents 1.0 event as the log keeps it. Source and ID identify it for ever, Subject orders it.
type Event struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time
	// Data is the payload: canonical JSON on the wallet topic (Decode makes it), any bytes elsewhere.
	Data []byte
	// Metadata holds CloudEvents extension attributes and, on other topics, Watermill's metadata; may be nil.
	Metadata map[string]string
}

// Partition is the partition of a subject: FNV-1a-32(subject) mod 64.
func Partition(subject string) int {
	h := fnv.New32a()
	h.Write([]byte(subject)) // a hash never fails
	return int(h.Sum32() % Partitions)
}

// SameContent tells whether two events with one identity say the same: type, subject and data are content; the time
// and the metadata are not, because a producer that sends again may stamp them anew.
func (e Event) SameContent(o Event) bool {
	return e.Type == o.Type && e.Subject == o.Subject && bytes.Equal(e.Data, o.Data)
}
