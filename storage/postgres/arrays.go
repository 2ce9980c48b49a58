package postgres

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// columnCodec writes the columns of a batch as arrays. pgx's own codec, which it falls back on, boxes each element and looks
// up how to write it; that was the dearest part of sending a batch.
type columnCodec struct{ *pgtype.ArrayCodec }

// registerColumns makes a connection write columns by columnCodec.
func registerColumns(m *pgtype.Map) {
	for _, oid := range []uint32{pgtype.TextArrayOID, pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.TimestamptzArrayOID} {
		if t, ok := m.TypeForOID(oid); ok {
			if codec, ok := t.Codec.(*pgtype.ArrayCodec); ok {
				m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: columnCodec{codec}})
			}
		}
	}
}

// PlanEncode implements pgtype.Codec.
func (c columnCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case []string:
			if oid == pgtype.TextArrayOID {
				return columnPlan[string]{pgtype.TextOID, textSize, appendText}
			}
		case []*string:
			if oid == pgtype.TextArrayOID {
				return columnPlan[*string]{pgtype.TextOID, nullableTextSize, appendNullableText}
			}
		case []int16:
			if oid == pgtype.Int2ArrayOID {
				return columnPlan[int16]{pgtype.Int2OID, fixedSize[int16](2), appendInt16}
			}
		case []int32:
			if oid == pgtype.Int4ArrayOID {
				return columnPlan[int32]{pgtype.Int4OID, fixedSize[int32](4), appendInt32}
			}
		case []int64:
			if oid == pgtype.Int8ArrayOID {
				return columnPlan[int64]{pgtype.Int8OID, fixedSize[int64](8), appendInt64}
			}
		case []time.Time:
			if oid == pgtype.TimestamptzArrayOID {
				return columnPlan[time.Time]{pgtype.TimestamptzOID, fixedSize[time.Time](8), appendTime}
			}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// columnPlan writes an array of one dimension in the binary format of array_recv in PostgreSQL's arrayfuncs.c.
type columnPlan[V any] struct {
	element uint32
	size    func(values []V) int // in bytes, without the lengths
	append  func(buf []byte, v V) (_ []byte, null bool)
}

// headerSize is what precedes the elements of an array.
const headerSize = 20

// Encode implements pgtype.EncodePlan.
func (p columnPlan[V]) Encode(value any, buf []byte) ([]byte, error) {
	values := value.([]V)
	if values == nil {
		return nil, nil // NULL
	}
	if need := headerSize + 4*len(values) + p.size(values); cap(buf)-len(buf) < need {
		buf = slices.Grow(buf, max(need, cap(buf))) // the other columns of the batch follow: twice as much costs less than a bit more each time
	}
	be := binary.BigEndian
	buf = be.AppendUint32(buf, 1) // dimensions
	nulls := len(buf)
	buf = be.AppendUint32(buf, 0)
	buf = be.AppendUint32(buf, p.element)
	buf = be.AppendUint32(buf, uint32(len(values)))
	buf = be.AppendUint32(buf, 1) // the first index
	for _, v := range values {
		var null bool
		if buf, null = p.append(buf, v); null {
			buf = be.AppendUint32(buf, ^uint32(0)) // the length −1
			be.PutUint32(buf[nulls:], 1)
		}
	}
	return buf, nil
}

func fixedSize[V any](n int) func([]V) int {
	return func(values []V) int { return n * len(values) }
}

func textSize(values []string) (n int) {
	for _, s := range values {
		n += len(s)
	}
	return n
}

func nullableTextSize(values []*string) (n int) {
	for _, s := range values {
		if s != nil {
			n += len(*s)
		}
	}
	return n
}

func appendText(buf []byte, s string) ([]byte, bool) {
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(s))), s...), false
}

func appendNullableText(buf []byte, s *string) ([]byte, bool) {
	if s == nil {
		return buf, true
	}
	return appendText(buf, *s)
}

func appendInt16(buf []byte, n int16) ([]byte, bool) {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(buf, 2), uint16(n)), false
}

func appendInt32(buf []byte, n int32) ([]byte, bool) {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(buf, 4), uint32(n)), false
}

func appendInt64(buf []byte, n int64) ([]byte, bool) {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(buf, 8), uint64(n)), false
}

// postgresEpoch is 2000-01-01 in microseconds since the Unix epoch: PostgreSQL counts from it.
const postgresEpoch = 946_684_800_000_000

func appendTime(buf []byte, t time.Time) ([]byte, bool) {
	return appendInt64(buf, t.UnixMicro()-postgresEpoch)
}
