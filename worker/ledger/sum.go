package ledger

import (
	"fmt"
	"math/big"
)

// Sum is a number of sats of any size: what passed through a ledger may be more than 64 bits hold. The zero value is 0.
type Sum struct{ n big.Int }

// SumOf is high · 2^32 + low. Backends whose sums overflow add up the two parts of each number apart.
func SumOf(high, low int64) (s Sum) {
	s.n.Lsh(big.NewInt(high), 32)
	s.n.Add(&s.n, big.NewInt(low))
	return s
}

// Sats is a sum of n sats.
func Sats(n int64) Sum { return SumOf(0, n) }

// ParseSum reads a whole number in decimal digits.
func ParseSum(text string) (s Sum, err error) {
	if _, ok := s.n.SetString(text, 10); !ok {
		return s, fmt.Errorf("a sum of sats cannot be %q: want a whole number", text)
	}
	return s, nil
}

// Plus adds.
func (s Sum) Plus(o Sum) (sum Sum) {
	sum.n.Add(&s.n, &o.n)
	return sum
}

// Minus subtracts.
func (s Sum) Minus(o Sum) (difference Sum) {
	difference.n.Sub(&s.n, &o.n)
	return difference
}

// Equal compares.
func (s Sum) Equal(o Sum) bool { return s.n.Cmp(&o.n) == 0 }

// Int64 is the sum where 64 bits hold it; elsewhere it means nothing.
func (s Sum) Int64() int64 { return s.n.Int64() }

func (s Sum) String() string { return s.n.String() }

// MarshalJSON writes a JSON number, however long.
func (s Sum) MarshalJSON() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalJSON reads one.
func (s *Sum) UnmarshalJSON(b []byte) (err error) {
	*s, err = ParseSum(string(b))
	return err
}
