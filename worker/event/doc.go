// Package event is the wire contract of the wallet events: CloudEvents 1.0 in JSON, the catalogue of types with the
// rules for their data, and the interfaces of the log that keeps them. It does no I/O of its own and imports nothing of
// this program.
//
// Its invariants:
//
//  1. What Decode returns is an event of the catalogue: every attribute and every member has been checked, so whoever
//     reads it from the log needs no second look.
//  2. Data that means the same has the same bytes. Members come in the order of the catalogue, absent members and
//     defaults are left out, and numbers, times and strings have one form; SameContent may therefore compare bytes.
//  3. Decode(Encode(e)) is e for every event that Decode made, and so are its data's bytes.
//  4. The identity of an event, its source and id, is kept byte for byte as the producer wrote it.
//  5. Nothing is read leniently: a name in another case, a member that is there twice, a fraction where a whole number
//     stands, bytes that are no UTF-8, and anything after the end are refused, never repaired.
//  6. A refusal, and the text of every other error here, holds no secret member's value and no private key.
//  7. No input makes a function of this package panic, and none takes memory out of proportion to its size; a
//     LineReader's memory does not grow with its input at all.
//  8. A Keyring seals a secret of one event to the same bytes for ever, as long as its key is the current one, and what
//     it sealed opens as that member of that event alone.
//
// # Sealed secrets
//
// The log keeps secret members sealed with AES-256-GCM. The additional data are the topic, the source, the id, the type,
// the subject and the field, each with its length, so that whoever can write to the database cannot give one wallet the
// secret of another. The nonce is the first 96 bits of an HMAC-SHA-256, under a key of its own, over those and the secret.
// It might have been random; but the log decides by bytes whether an event that comes again is a duplicate or a conflict,
// inside a statement of the database, and that must not need a key there, nor an answer be a guess. A nonce that follows
// from what is sealed gives equal bytes for equal events, and nothing else away: two events never share their additional
// data, so that equal secrets of different events do not look equal. A nonce repeats for another text only when the HMAC
// collides in 96 bits, with a chance of 2⁻³³ after four thousand million secrets under one key, and a clone of a machine's
// random generator cannot bring it about. The length of a secret shows.
//
// The id of the key stands beside what it sealed. A rotation puts a new key behind the older ones everywhere, and then
// before them: new events are sealed with it, old ones open with the old. Nothing is sealed again, because the log is
// append-only and its history is what an audit proves, and because a key that leaked has leaked the copies and the backups
// too: what mends that is another access key, by an event. An older key is needed for as long as its events are: to process
// them, to fold the log again, and to tell a duplicate from a conflict, for which storage opens both where bytes differ.
// Where a key is missing, the event is parked under the key's id; none is guessed.
//
// The table in spec.go is the single source of the catalogue: decoding, the canonical form, redaction and Catalogue,
// which lists the types and their members for other packages, derive from it.
package event
