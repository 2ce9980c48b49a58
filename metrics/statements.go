package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/safebox/safebox/storage"
)

// plumbing are the statements that backends send without a file of their own.
var plumbing = []string{"begin", "commit", "rollback", "savepoint", "copy", "ping", "connect"}

// statementBuckets run from a probe of a primary key in memory to a statement that waits for a lock until its timeout.
var statementBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30}

// statements shows what the database answers.
type statements struct {
	observe   observe
	durations map[string]prometheus.Observer
	errors    map[pair]prometheus.Counter
	retries   map[string]prometheus.Counter
}

func (s *statements) register(reg prometheus.Registerer, names []string) {
	names = with(append(append([]string{}, plumbing...), names...))
	classes := make([]string, 0, len(storage.Classes()))
	for _, c := range storage.Classes() {
		classes = append(classes, string(c))
	}
	s.durations = histograms(reg, StatementSeconds,
		"Time that statements took, failed ones included.", "statement", statementBuckets, names)
	s.errors = counterPairs(reg, StatementErrors,
		"Statements that failed, by the class of their error.", pair{"statement", "class"}, names, classes)
	s.retries = counters(reg, TransactionRetries,
		"Transactions rolled back and tried again: the class of the error, payee for a transfer that waits for a registration, or handler.", "reason", append(classes, "payee", "handler"))
}

// Statement is told of each statement that ended; class is "" when it succeeded.
func (s *statements) Statement(ctx context.Context, name string, took time.Duration, class storage.Class) {
	d, known := s.durations[name]
	if !known {
		name = other
		d = s.durations[other]
	}
	s.observe(ctx, d, seconds(took))
	if class == "" {
		return
	}
	c, known := s.errors[pair{name, string(class)}]
	if !known {
		c = s.errors[pair{name, other}]
	}
	c.Inc()
}

// Retried counts transactions that were rolled back and tried again.
func (s *statements) Retried(reason string) {
	c, known := s.retries[reason]
	if !known {
		c = s.retries[other]
	}
	c.Inc()
}
