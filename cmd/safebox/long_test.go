//go:build long

package main

import "testing"

// These take minutes of waiting for timers of Prometheus and of the server, or measure how long somebody waits. Continuous integration runs them beside the others,
// without the race detector, which has seen their code in shorter tests.

func TestEveryAlertFiresByItsFaultAndIsOverWithIt(t *testing.T) { everyAlertFires(t) }

func TestEveryPanelHasAnAnswerWhileReplicasWork(t *testing.T) { everyPanelAnswers(t) }

func TestADoctorFindsWhatIsWrongWithAServer(t *testing.T) { aDoctorExaminesAServer(t) }

func TestARollingRestartUnderLoadLosesNothingAndKeepsNobodyWaiting(t *testing.T) { aRollingRestart(t) }
