package event

import (
	"fmt"
	"strconv"
	"strings"
)

// Place returns where the event stands. The zero place is before all: positions begin at 1.
func (p Parked) Place() Place { return Place{p.Partition, p.Position} }

// String gives partition and position, as "17.42".
func (p Place) String() string { return fmt.Sprintf("%d.%d", p.Partition, p.Position) }

// MarshalText implements encoding.TextMarshaler: it is what String gives.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes what String gives, and no other spelling of it.
func (p *Place) UnmarshalText(text []byte) error {
	partition, position, _ := strings.Cut(string(text), ".")
	var read Place
	var err error
	if read.Partition, err = strconv.Atoi(partition); err == nil {
		read.Position, err = strconv.ParseInt(position, 10, 64)
	}
	if err != nil || read.Partition < 0 || read.Partition >= Partitions || read.Position < 0 || read.String() != string(text) {
		return fmt.Errorf("expected a partition below %d, a dot and a position, as 17.42", Partitions)
	}
	*p = read
	return nil
}
