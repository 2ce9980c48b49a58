package event

import "strconv"

// appendCanonical writes the values in the one form that equal data have: members in the order of the table, none that
// is absent or says its default, nothing between the tokens.
func (s *spec) appendCanonical(dst []byte, v *values) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	for i := range s.members {
		m := &s.members[i]
		if v[i].state == absent {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, m.name...)
		dst = append(dst, '"', ':')
		switch v[i].state {
		case null:
			dst = append(dst, "null"...)
		case sealed:
			dst = append(dst, v[i].text...)
		default:
			dst = m.kind.appendCanonical(dst, &v[i])
		}
	}
	return append(dst, '}')
}

// appendCanonical writes a value that is set as JSON.
func (k Kind) appendCanonical(dst []byte, v *value) []byte {
	switch k {
	case KindAmount, KindFee, KindSeconds, KindNumber:
		return strconv.AppendInt(dst, v.whole, 10)
	case KindRate:
		return appendFloat(dst, v.rate())
	case KindTimestamp:
		return v.time().AppendFormat(dst, `"2006-01-02T15:04:05.000000Z"`)
	default:
		return appendString(dst, v.text)
	}
}

// appendFloat writes the shortest form that reads back as f, in the manner of ECMAScript.
func appendFloat(dst []byte, f float64) []byte {
	if f < 1e-6 || f >= 1e21 {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendString writes s, which is valid UTF-8, as a JSON string with no more escapes than JSON asks for.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}
