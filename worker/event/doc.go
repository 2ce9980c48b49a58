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
//
// The table in spec.go is the single source of the catalogue: decoding, the canonical form, redaction and Catalogue,
// which lists the types and their members for other packages, derive from it.
package event
