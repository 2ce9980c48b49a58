//go:build !race

package main

import "os"

// plainProgram is the program without the race detector: the test binary.
func plainProgram() (string, error) { return os.Executable() }

func removePlainProgram() {}
