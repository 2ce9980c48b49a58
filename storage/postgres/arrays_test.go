package postgres

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"
)

func TestColumnsAreWrittenAsPgxWritesThem(t *testing.T) {
	own, ours := pgtype.NewMap(), pgtype.NewMap()
	registerColumns(ours)
	text := "é ☕"
	for name, c := range map[string]struct {
		oid    uint32
		column any
	}{
		"texts":              {pgtype.TextArrayOID, []string{"", "a", text}},
		"texts and nulls":    {pgtype.TextArrayOID, []*string{nil, &text, nil}},
		"nothing but a null": {pgtype.TextArrayOID, []*string{nil}},
		"small integers":     {pgtype.Int2ArrayOID, []int16{0, -1, 1<<15 - 1, -1 << 15}},
		"integers":           {pgtype.Int4ArrayOID, []int32{0, -1, 1<<31 - 1, -1 << 31}},
		"big integers":       {pgtype.Int8ArrayOID, []int64{0, -1, 1<<63 - 1, -1 << 63}},
		"times": {pgtype.TimestamptzArrayOID, []time.Time{
			time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(9999, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)),
		}},
		"none":                 {pgtype.TextArrayOID, []string{}},
		"no array":             {pgtype.TextArrayOID, []string(nil)},
		"another type's array": {pgtype.Int8ArrayOID, []int32{1, 2}},
		"booleans":             {pgtype.BoolArrayOID, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := own.Encode(c.oid, pgtype.BinaryFormatCode, c.column, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ours.Encode(c.oid, pgtype.BinaryFormatCode, c.column, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyColumnsOfTheArraysOwnTypeAreWrittenTheShortWay(t *testing.T) {
	m := pgtype.NewMap()
	registerColumns(m)
	short := func(oid uint32, column any) bool {
		switch m.PlanEncode(oid, pgtype.BinaryFormatCode, column).(type) {
		case columnPlan[string], columnPlan[*string], columnPlan[int16], columnPlan[int32], columnPlan[int64], columnPlan[time.Time]:
			return true
		}
		return false
	}
	for oid, column := range map[uint32]any{
		pgtype.TextArrayOID: []string{"a"}, pgtype.Int2ArrayOID: []int16{1}, pgtype.Int4ArrayOID: []int32{1},
		pgtype.Int8ArrayOID: []int64{1}, pgtype.TimestamptzArrayOID: []time.Time{{}},
	} {
		if !short(oid, column) {
			t.Errorf("%T is written the long way", column)
		}
	}
	if short(pgtype.Int8ArrayOID, []int32{1}) || short(pgtype.TimestampArrayOID, []time.Time{{}}) {
		t.Error("a column of another type is written the short way")
	}
}
