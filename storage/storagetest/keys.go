package storagetest

import "github.com/safebox/safebox/worker/event"

// Keys seal the secrets of events in tests.
var Keys = keyring("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")

func keyring(text string) *event.Keyring {
	k, err := event.ParseKeyring(text)
	if err != nil {
		panic(err)
	}
	return k
}
