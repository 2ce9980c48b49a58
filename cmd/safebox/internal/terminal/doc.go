// Package terminal prints for people: it knows whether somebody watches, shows progress on one line that redraws itself
// (or as one line a second where nobody watches), groups digits and lays out tables.
package terminal
