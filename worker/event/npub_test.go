package event_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/safebox/safebox/worker/event"
)

// The example keys of NIP-19.
const (
	examplePublic  = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
	exampleNpub    = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
	examplePrivate = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"

	// The same key with a right checksum but a padding bit set, and with the checksum of bech32m (BIP-350).
	paddedNpub  = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8pl6x5k6"
	bech32mNpub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qhszdw2"
)

func TestParseNpubReadsTheExampleOfNIP19(t *testing.T) {
	key, err := event.ParseNpub(exampleNpub)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(key[:]); got != examplePublic {
		t.Errorf("key = %s, want %s", got, examplePublic)
	}
	if got := event.EncodeNpub(key); got != exampleNpub {
		t.Errorf("EncodeNpub = %s, want %s", got, exampleNpub)
	}
}

func TestParseNpubRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                     "",
		"a private key":               examplePrivate,
		"upper case":                  strings.ToUpper(exampleNpub),
		"mixed case":                  "npub1" + strings.ToUpper(exampleNpub[5:]),
		"a character too few":         exampleNpub[:62],
		"a character too many":        exampleNpub + "q",
		"a character not of bech32":   exampleNpub[:20] + "b" + exampleNpub[21:],
		"two characters exchanged":    exampleNpub[:10] + exampleNpub[11:12] + exampleNpub[10:11] + exampleNpub[12:],
		"a byte that is not ASCII":    exampleNpub[:20] + "\xff" + exampleNpub[21:],
		"white space around":          " " + exampleNpub,
		"the key in hexadecimal":      examplePublic,
		"another human-readable part": "note1" + exampleNpub[5:],
		"padding that is not zero":    paddedNpub,
		"the checksum of bech32m":     bech32mNpub,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := event.ParseNpub(s)
			if !errors.Is(err, event.ErrNpub) {
				t.Errorf("ParseNpub(%q) = %v, want an error that wraps ErrNpub", s, err)
			}
			if event.ValidNpub(s) {
				t.Error("ValidNpub says yes")
			}
		})
	}
}

func TestEveryKeyHasOneNpubAndAnyWrongCharacterShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var key [32]byte
		copy(key[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		npub := event.EncodeNpub(key)
		if back, err := event.ParseNpub(npub); err != nil || back != key {
			t.Fatalf("ParseNpub(EncodeNpub(%x)) = %x, %v", key, back, err)
		}
		at := rapid.IntRange(0, len(npub)-1).Draw(t, "at")
		wrong := []byte(npub)
		wrong[at] = rapid.SampledFrom([]byte("qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio")).
			Filter(func(c byte) bool { return c != npub[at] }).Draw(t, "character")
		if event.ValidNpub(string(wrong)) {
			t.Fatalf("%s is taken for %s", wrong, npub)
		}
	})
}
