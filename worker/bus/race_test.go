//go:build race

package bus_test

// raced tells that the race detector watches, under which everything takes many times as long.
const raced = true
