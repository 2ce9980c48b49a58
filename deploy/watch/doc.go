// Package watch makes the dashboards, the recording rules and the alerts out of the names of the metrics, so that none of
// them can ask for a series that is not there.
//
// What it makes is kept in the repository (deploy/grafana/dashboards, deploy/prometheus/rules), for people who deploy
// without Go; a test compares the two. `go generate ./deploy/watch` writes them anew.
//
// # Invariants
//
//  1. Every panel says what a bad value means and what to do; every alert says who has to act, and has a section in
//     deploy/RUNBOOK.md.
//  2. Every query of a panel has an answer while replicas are at work, be it zero: an empty panel means that nothing is
//     scraped.
//  3. The rules at another pace (a test's) differ from those of production in their times alone.
package watch

//go:generate go run ./generate -to ..
