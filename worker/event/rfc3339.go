package event

import (
	"strings"
	"time"
)

// parseTime reads an RFC 3339 time, to the microsecond and in UTC. Its year there must be 1970 to 9999: earlier ones
// are mistakes of a producer's clock, later ones have no form in RFC 3339.
func parseTime(s string) (time.Time, bool) {
	s = strings.ToUpper(s) // RFC 3339 lets T and Z be lower-case
	if !isTimeShaped(s) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC().Truncate(time.Microsecond)
	return t, t.Year() >= 1970 && t.Year() <= 9999
}

// isTimeShaped tells whether s has the shape of the grammar in RFC 3339, section 5.6. time.Parse checks the numbers but
// for the zone's, and is lenient about the rest: it takes an hour of one digit, and a comma before the fraction.
func isTimeShaped(s string) bool {
	const shape = "0000-00-00T00:00:00"
	if len(s) <= len(shape) || !hasShape(s[:len(shape)], shape) {
		return false
	}
	rest := s[len(shape):]
	if rest[0] == '.' {
		fraction := strings.TrimLeft(rest[1:], "0123456789")
		if len(fraction) == len(rest)-1 {
			return false
		}
		rest = fraction
	}
	if rest == "Z" {
		return true
	}
	return (hasShape(rest, "+00:00") || hasShape(rest, "-00:00")) && rest[1:3] < "24" && rest[4:] < "60"
}

// hasShape tells whether s equals shape, in which 0 stands for any digit.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if digit := s[i] >= '0' && s[i] <= '9'; shape[i] == '0' && !digit || shape[i] != '0' && s[i] != shape[i] {
			return false
		}
	}
	return true
}
