// Package doctor judges what a database and a configuration tell of themselves.
//
//  1. It is a function of facts: it opens nothing, asks nobody and reads no clock.
//  2. Every line says what was found. One that is not ok says what to do, beside it or in what was found.
//  3. A failure is what keeps a replica from its work, or breaks a promise of its own: that nothing acknowledged is lost, that
//     nothing is applied twice. What only may become one is a warning.
//  4. What cannot be known is said to be unknown, and never to be ok.
package doctor
