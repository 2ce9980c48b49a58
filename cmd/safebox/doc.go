// Command safebox runs a replica of the wallet cluster, prepares its database, publishes events to it and reads wallets
// from it.
//
//  1. This package wires the others together and prints; it decides nothing about wallets, events or schemas.
//  2. The only os.Exit is in main. Every error ends as an exit code in exit.go, by its type and never by its text.
//  3. Standard output carries the answer, with --json one document and nothing else; errors, progress and logs go to
//     standard error.
//  4. Commands that read create nothing, neither a file nor a table.
package main
