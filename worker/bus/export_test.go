package bus

// Queued is the number of appends that wait for the writer.
func (b *Bus) Queued() int { return len(b.appender.requests) }

// Closing tells whether Close was called.
func (s *Subscriber) Closing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
