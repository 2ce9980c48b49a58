// Package ledger is the functional core of the worker: it decides what wallet events do to wallets, and nothing else.
// It reads no clock, no file and no database. A batch goes through it in three steps:
//
//	keys := ledger.KeysOf(commands)   // what the batch may touch
//	state := <load the keys>          // by a Tx, in a fixed number of statements
//	outcome, err := state.Fold(c)     // for each command, in order
//	<store state.Changes()>           // by the same Tx, in a fixed number of statements
//
// Invariants:
//
//  1. Fold is deterministic: the same state and command give the same outcome and the same next state.
//  2. A rejected command changes nothing but the journal and, for a known wallet, its entry count.
//  3. A command for which Fold returns an error, or panics before it decided, changes nothing at all.
//  4. Money is conserved: the sum of balances changes by credits − debits − fees of the entries, and by nothing else.
//  5. No balance is ever taken below 0 or above event.MaxAmount. One that was adopted below 0 only rises until it is not.
//  6. The entries of a wallet are numbered 1, 2, 3 …, and each balance is the one before plus amount minus fee.
//  7. Each command makes exactly one entry with leg 0; a transfer that is applied makes a second one, leg 1, for the payee.
//
// Audit proves them of what is stored, each event against its entries and each wallet against its journal; Audit.Rebuild folds
// the log again and says which books it makes.
//
// The package imports worker/event alone, for the vocabulary of the catalogue.
package ledger
