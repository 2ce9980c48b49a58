package event

import (
	"errors"
	"fmt"
	"strings"
)

// An npub is a Nostr public key of 32 bytes in bech32 with the human-readable part "npub" (NIP-19). Bech32, its
// alphabet, its checksum and its padding rule are those of BIP-173:
// https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki
const (
	npubPrefix = "npub"
	nsecPrefix = "nsec"

	keySize     = 32                                 // bytes
	keyGroups   = (keySize*8 + 4) / 5                // groups of five bits that hold a key: 52, the last with four bits of padding
	checkGroups = 6                                  // groups of the checksum
	keyLength   = 5 + keyGroups + checkGroups        // characters of an npub: prefix, separator, key, checksum
	alphabet    = "qpzry9x8gf2tvdw0s3jn54khce6mua7l" // BIP-173, one character a group
)

// ErrNpub is wrapped by every error of ParseNpub.
var ErrNpub = errors.New("not a valid npub")

// groupOf gives the group that a character stands for, and -1 for a character outside the alphabet.
var groupOf = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i := range len(alphabet) {
		table[alphabet[i]] = int8(i)
	}
	return table
}()

// generator[i] is what BIP-173's checksum adds when the five bits i leave its register: the sum of the generator's
// coefficients whose bits are set in i. The table replaces five tests for every character.
var generator = func() (table [32]uint32) {
	coefficients := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	for i := range table {
		for bit, c := range coefficients {
			if i>>bit&1 == 1 {
				table[i] ^= c
			}
		}
	}
	return table
}()

// checksumStep feeds one group to the checksum register.
func checksumStep(register uint32, group byte) uint32 {
	return (register&0x1ffffff)<<5 ^ uint32(group) ^ generator[register>>25]
}

// checksumStart is the register after the human-readable part: the high bits of each letter, a zero, the low bits.
func checksumStart(prefix string) uint32 {
	register := uint32(1)
	for i := range len(prefix) {
		register = checksumStep(register, prefix[i]>>5)
	}
	register = checksumStep(register, 0)
	for i := range len(prefix) {
		register = checksumStep(register, prefix[i]&31)
	}
	return register
}

var (
	npubStart = checksumStart(npubPrefix)
	nsecStart = checksumStart(nsecPrefix)
)

// ParseNpub returns the public key of an npub. Only the lower-case form is taken, so that a key has one spelling.
func ParseNpub(s string) ([keySize]byte, error) {
	key, fault := parseKey(npubPrefix, npubStart, s)
	if fault != "" {
		return key, fmt.Errorf("%w: %s", ErrNpub, fault)
	}
	return key, nil
}

// ValidNpub tells whether ParseNpub takes s.
func ValidNpub(s string) bool {
	_, fault := parseKey(npubPrefix, npubStart, s)
	return fault == ""
}

// EncodeNpub writes a public key as an npub. It does not ask whether the key is a point of the curve.
func EncodeNpub(key [keySize]byte) string {
	return formatKey(npubPrefix, npubStart, key)
}

// parseKey takes a key apart; fault says what is wrong with s, and never quotes it.
func parseKey(prefix string, start uint32, s string) (key [keySize]byte, fault string) {
	if len(s) < len(prefix)+1 || s[:len(prefix)] != prefix || s[len(prefix)] != '1' {
		return key, "it does not begin with " + prefix + "1"
	}
	if len(s) != keyLength {
		return key, fmt.Sprintf("it has %d characters instead of %d", len(s), keyLength)
	}
	register := start
	var bits, held uint32
	next := 0
	for i := range keyGroups + checkGroups {
		group := groupOf[s[len(prefix)+1+i]]
		if group < 0 {
			return key, fmt.Sprintf("character %d is not in the bech32 alphabet", len(prefix)+2+i)
		}
		register = checksumStep(register, byte(group))
		if i >= keyGroups {
			continue
		}
		bits = bits<<5 | uint32(group)
		if held += 5; held >= 8 {
			held -= 8
			key[next] = byte(bits >> held)
			next++
		}
		if i == keyGroups-1 && bits&(1<<held-1) != 0 {
			return key, "its padding bits are not zero"
		}
	}
	if register != 1 {
		return key, "its checksum is wrong"
	}
	return key, ""
}

func formatKey(prefix string, start uint32, key [keySize]byte) string {
	out := make([]byte, 0, keyLength)
	out = append(append(out, prefix...), '1')
	register := start
	put := func(group byte) {
		register = checksumStep(register, group)
		out = append(out, alphabet[group])
	}
	var bits, held uint32
	for _, b := range key {
		bits = bits<<8 | uint32(b)
		for held += 8; held >= 5; {
			held -= 5
			put(byte(bits>>held) & 31)
		}
	}
	put(byte(bits<<(5-held)) & 31)
	for range checkGroups {
		register = checksumStep(register, 0)
	}
	register ^= 1
	for i := range checkGroups {
		out = append(out, alphabet[register>>(5*(checkGroups-1-i))&31])
	}
	return string(out)
}

// holdsPrivateKey tells whether s has a Nostr private key (an nsec with a right checksum) anywhere in it.
func holdsPrivateKey(s string) bool {
	return holdsLowerKey(s) || (strings.Contains(s, "NSEC1") && holdsLowerKey(strings.ToLower(s)))
}

func holdsLowerKey(s string) bool {
	for {
		i := strings.Index(s, nsecPrefix+"1")
		if i < 0 || len(s)-i < keyLength {
			return false
		}
		if _, fault := parseKey(nsecPrefix, nsecStart, s[i:i+keyLength]); fault == "" {
			return true
		}
		s = s[i+1:]
	}
}
