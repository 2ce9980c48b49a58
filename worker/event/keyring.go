package event

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of a secret key, in bytes.
const KeySize = 32

// maxKeys bounds a keyring: a rotation adds one key, and nobody rotates for centuries.
const maxKeys = 64

// A Keyring seals the secret members of events, and opens them. The first key seals; all of them open. A nil or an empty
// keyring seals and opens nothing. It never changes, and prints as a count of its keys.
type Keyring struct{ keys []*sealingKey }

// ParseKeyring reads keys of 32 bytes, in hex or in base64 (either alphabet, with or without padding), separated by commas:
// the current one first, then older ones. The error holds nothing of a key. An empty text is an empty keyring.
func ParseKeyring(text string) (*Keyring, error) {
	k := &Keyring{}
	if strings.TrimSpace(text) == "" {
		return k, nil
	}
	words := strings.Split(text, ",")
	if len(words) > maxKeys {
		return nil, fmt.Errorf("expected at most %d keys, found %d", maxKeys, len(words))
	}
	for i, word := range words {
		raw, ok := keyBytes(strings.TrimSpace(word))
		if !ok {
			return nil, fmt.Errorf("key %d of %d: expected %d bytes in base64 or hex, such as `openssl rand -base64 %d` prints",
				i+1, len(words), KeySize, KeySize)
		}
		key, err := newSealingKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(words), err)
		}
		if k.find(key.id) != nil {
			return nil, fmt.Errorf("key %d of %d is there twice", i+1, len(words))
		}
		k.keys = append(k.keys, key)
	}
	return k, nil
}

// keyBytes reads one key. A key that repeats one byte is a placeholder, and no key.
func keyBytes(text string) (raw []byte, ok bool) {
	var err error
	if len(text) == hex.EncodedLen(KeySize) {
		raw, err = hex.DecodeString(text)
	} else {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		raw, err = base64.RawStdEncoding.Strict().DecodeString(text)
	}
	if err != nil || len(raw) != KeySize {
		return nil, false
	}
	for _, b := range raw[1:] {
		if b != raw[0] {
			return raw, true
		}
	}
	return nil, false
}

// Empty tells whether there is no key to seal with.
func (k *Keyring) Empty() bool { return k == nil || len(k.keys) == 0 }

// IDs lists the ids of the keys, the current one first. An id is derived from its key and tells nothing about it.
func (k *Keyring) IDs() []string {
	var ids []string
	if k != nil {
		for _, key := range k.keys {
			ids = append(ids, key.id)
		}
	}
	return ids
}

// String counts the keys.
func (k *Keyring) String() string { return fmt.Sprintf("a keyring of %d", len(k.IDs())) }

// GoString is String, so that no format prints a key.
func (k *Keyring) GoString() string { return k.String() }

func (k *Keyring) find(id string) *sealingKey {
	if k != nil {
		for _, key := range k.keys {
			if key.id == id {
				return key
			}
		}
	}
	return nil
}

// A sealingKey is a secret key, derived into one for each of its uses.
type sealingKey struct {
	id    string // 8 hexadecimal digits
	aead  cipher.AEAD
	nonce []byte // the key of the nonces
}

// newSealingKey derives the parts of a key by HKDF-Expand (RFC 5869): the key given is random already.
func newSealingKey(secret []byte) (*sealingKey, error) {
	derive := func(use string, length int) ([]byte, error) {
		return hkdf.Expand(sha256.New, secret, "safebox event secrets v1: "+use, length)
	}
	id, err1 := derive("id", 4)
	enc, err2 := derive("encryption", KeySize)
	nonce, err3 := derive("nonce", sha256.Size)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(enc)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &sealingKey{id: hex.EncodeToString(id), aead: aead, nonce: nonce}, nil
}

// seal returns nonce and ciphertext. The nonce is a function of everything that is sealed; see doc.go.
func (k *sealingKey) seal(bound []byte, secret string) []byte {
	mac := hmac.New(sha256.New, k.nonce)
	mac.Write(bound)
	mac.Write([]byte(secret))
	nonce := mac.Sum(nil)[:k.aead.NonceSize()]
	return k.aead.Seal(nonce, nonce, []byte(secret), bound)
}

func (k *sealingKey) open(bound, sealed []byte) (secret string, ok bool) {
	if len(sealed) < k.aead.NonceSize() {
		return "", false
	}
	n := k.aead.NonceSize()
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], bound)
	return string(plain), err == nil
}

// binding is the additional data of a sealed member: all that says which event it belongs to, and where in it. Each part
// comes with its length, so that no two events have the same.
func binding(topic string, ev *Event, field string) []byte {
	var b []byte
	for _, part := range []string{topic, ev.Source, ev.ID, ev.Type, ev.Subject, field} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}
