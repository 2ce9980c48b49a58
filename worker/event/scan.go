package event

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep JSON may nest before it is refused, so that a hostile document cannot exhaust the stack.
const maxDepth = 64

// scanner reads JSON (RFC 8259) strictly from a string: no invalid UTF-8, no unpaired surrogates, nothing lenient.
// encoding/json is more forgiving than a log may be: it matches names without regard to case, keeps the last of two
// members with one name, and replaces bytes that are no text.
type scanner struct {
	text  string
	at    int
	depth int
}

// A token is one JSON value. Text points into the scanned text; it is not unescaped.
type token struct {
	kind    tokenKind
	escaped bool
	// text is what stands between the quotes of a string, and all of any other value.
	text string
	// forbidden is the path, below this value, of a member named nsec; empty when there is none.
	forbidden string
}

type tokenKind uint8

const (
	tokenNull tokenKind = iota
	tokenBool
	tokenNumber
	tokenString
	tokenObject
	tokenArray
)

// value unescapes the text of a string.
func (t token) value() string {
	if !t.escaped {
		return t.text
	}
	return unescape(t.text)
}

// whole returns a number that is written as a whole number, without a fraction or an exponent, and fits 64 bits.
func (t token) whole() (int64, bool) {
	if t.kind != tokenNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	return n, err == nil
}

// A syntaxError says where the text stops being JSON. It does not repeat the text, which may hold a secret.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) refusal() *Refusal { return e.refuse("one JSON object") }

func (e *syntaxError) batchRefusal() *Refusal { return e.refuse("one JSON array") }

func (e *syntaxError) refuse(expected string) *Refusal {
	return &Refusal{Reason: fmt.Sprintf("expected %s, found invalid JSON at byte %d: %s", expected, e.at+1, e.what)}
}

func (s *scanner) fail(what string) *syntaxError { return &syntaxError{at: s.at, what: what} }

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, and 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// end makes sure that nothing but white space is left.
func (s *scanner) end() *syntaxError {
	if s.peek(); s.at < len(s.text) {
		return s.fail("something follows the end of the value")
	}
	return nil
}

// open enters an object or an array whose bracket is the next byte.
func (s *scanner) open() *syntaxError {
	if s.depth++; s.depth > maxDepth {
		return s.fail("it nests too deeply")
	}
	s.at++
	return nil
}

// next moves to the next element of an object or an array, and leaves it at its closing bracket.
func (s *scanner) next(first bool, closing byte) (more bool, err *syntaxError) {
	c := s.peek()
	if c == closing {
		s.at++
		s.depth--
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, s.fail(fmt.Sprintf("expected a comma or %q", closing))
	}
	s.at++
	return true, nil
}

// member reads the name of the next member of an object up to its value; more is false at the object's end.
func (s *scanner) member(first bool) (name token, more bool, err *syntaxError) {
	if more, err = s.next(first, '}'); !more {
		return token{}, false, err
	}
	if s.peek() != '"' {
		return token{}, false, s.fail("expected the name of a member in double quotes")
	}
	if name, err = s.str(); err != nil {
		return token{}, false, err
	}
	if s.peek() != ':' {
		return token{}, false, s.fail("expected a colon after the name of a member")
	}
	s.at++
	return name, true, nil
}

// value reads the next value whole.
func (s *scanner) value() (token, *syntaxError) {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == 't':
		return s.word("true", tokenBool)
	case c == 'f':
		return s.word("false", tokenBool)
	case c == 'n':
		return s.word("null", tokenNull)
	case s.at == len(s.text):
		return token{}, s.fail("it ends too early")
	default:
		return token{}, s.fail("expected a value")
	}
}

func (s *scanner) word(word string, kind tokenKind) (token, *syntaxError) {
	if !strings.HasPrefix(s.text[s.at:], word) {
		return token{}, s.fail("expected a value")
	}
	s.at += len(word)
	return token{kind: kind, text: word}, nil
}

func (s *scanner) object() (token, *syntaxError) {
	start, forbidden := s.at, ""
	if err := s.open(); err != nil {
		return token{}, err
	}
	for first := true; ; first = false {
		name, more, err := s.member(first)
		if err != nil {
			return token{}, err
		}
		if !more {
			return token{kind: tokenObject, text: s.text[start:s.at], forbidden: forbidden}, nil
		}
		v, err := s.value()
		if err != nil {
			return token{}, err
		}
		if n := name.value(); isPrivateKeyName(n) {
			forbidden = fieldName(n)
		} else if v.forbidden != "" {
			forbidden = fieldName(n) + "." + v.forbidden
		}
	}
}

func (s *scanner) array() (token, *syntaxError) {
	start, forbidden := s.at, ""
	if err := s.open(); err != nil {
		return token{}, err
	}
	for first := true; ; first = false {
		more, err := s.next(first, ']')
		if err != nil {
			return token{}, err
		}
		if !more {
			return token{kind: tokenArray, text: s.text[start:s.at], forbidden: forbidden}, nil
		}
		v, err := s.value()
		if err != nil {
			return token{}, err
		}
		if v.forbidden != "" {
			forbidden = v.forbidden
		}
	}
}

// number reads a number by the grammar of RFC 8259, section 6.
func (s *scanner) number() (token, *syntaxError) {
	start := s.at
	if s.text[s.at] == '-' {
		s.at++
	}
	zero := s.at < len(s.text) && s.text[s.at] == '0'
	if n := s.digits(); n == 0 || zero && n > 1 {
		return token{}, s.fail("a number is malformed")
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if s.digits() == 0 {
			return token{}, s.fail("a number is malformed")
		}
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		if s.at++; s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if s.digits() == 0 {
			return token{}, s.fail("a number is malformed")
		}
	}
	return token{kind: tokenNumber, text: s.text[start:s.at]}, nil
}

func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

// str reads a string whose opening quote is the next byte.
func (s *scanner) str() (token, *syntaxError) {
	s.at++
	start, escaped := s.at, false
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return token{kind: tokenString, escaped: escaped, text: s.text[start : s.at-1]}, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return token{}, err
			}
		case c < 0x20:
			return token{}, s.fail("a control character in a string is not escaped")
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, size := utf8.DecodeRuneInString(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				return token{}, s.fail("a string is not valid UTF-8")
			}
			s.at += size
		}
	}
	return token{}, s.fail("it ends inside a string")
}

// escape checks an escape sequence, or two that make one character, and moves past it.
func (s *scanner) escape() *syntaxError {
	_, size := unescapeRune(s.text[s.at:])
	if size == 0 {
		return s.fail("an escape sequence in a string is malformed or stands for half a character")
	}
	s.at += size
	return nil
}

// unescape resolves the escape sequences of a string that the scanner has passed.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		r, size := unescapeRune(s[i:])
		if size == 0 {
			return b.String()
		}
		b.WriteRune(r)
		s = s[i+size:]
	}
}

// unescapeRune reads the escape sequence at the start of s; size is 0 when it is malformed.
func unescapeRune(s string) (r rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unescapeHex(s)
	}
	return 0, 0
}

// unescapeHex reads \uXXXX, and the second half when the first is a surrogate (RFC 8259, section 7).
func unescapeHex(s string) (rune, int) {
	high, ok := hexQuad(s)
	switch {
	case !ok || high >= 0xdc00 && high <= 0xdfff:
		return 0, 0
	case high < 0xd800 || high > 0xdfff:
		return high, 6
	}
	low, ok := hexQuad(s[6:])
	if !ok || low < 0xdc00 || low > 0xdfff {
		return 0, 0
	}
	return 0x10000 + (high-0xd800)<<10 + (low - 0xdc00), 12
}

func hexQuad(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
