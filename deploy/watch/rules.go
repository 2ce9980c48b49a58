package watch

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	m "github.com/safebox/safebox/metrics" // m: its names stand in every query
)

// A Pace is how fast the rules are: the same rules serve in production and, at another pace, in tests.
type Pace struct {
	Window   time.Duration                     // over which rates are taken
	Patience time.Duration                     // how old or how late something may be before it counts as stuck
	Silence  time.Duration                     // how long a replica may go without reading the database
	Late     time.Duration                     // the lag that counts as late
	Backup   time.Duration                     // how old the last backup may be
	Proof    time.Duration                     // how long before the last backup one may last have been found good
	For      func(time.Duration) time.Duration // how long a condition holds before its alert fires
	Every    time.Duration                     // between two evaluations; 0: the server's own
}

// Production is the pace of the rules that are kept in the repository.
var Production = Pace{
	Window: 5 * time.Minute, Patience: 2 * time.Minute, Silence: 30 * time.Second, Late: 5 * time.Second,
	Backup: 26 * time.Hour, Proof: 8 * 24 * time.Hour,
	For: func(d time.Duration) time.Duration { return d },
}

// A Recording is a rule that keeps the answer of a query as a series of its own.
type Recording struct{ Name, Expr string }

// An Alert is a rule that fires. Its name is that of its section in deploy/RUNBOOK.md.
type Alert struct {
	Name                 string
	Severity             Severity
	Expr                 string
	For                  time.Duration
	Summary, Description string
}

// Severity says who acts, and when.
type Severity string

// The severities.
const (
	Page   Severity = "page"   // someone, now
	Ticket Severity = "ticket" // someone, in working hours
)

// The names of the recorded series, by the convention of level:metric:operation.
const (
	recordedOutcomes  = "outcome:safebox_events:rate"
	recordedLag       = "safebox:event_lag_seconds:p99"
	recordedBacklog   = "group:safebox_event_backlog:max"
	recordedPoolUse   = "instance:safebox_db_pool_in_use:ratio"
	recordedPoolWaits = "instance:safebox_db_pool_wait:rate"
	recordedErrors    = "class:safebox_db_statement_errors:ratio"
)

// Recordings are the recording rules at a pace.
func Recordings(p Pace) []Recording {
	w := promDuration(p.Window)
	return []Recording{
		{recordedOutcomes, sum(rate(m.Events, w), "outcome")},
		{recordedLag, quantile(.99, m.EventLag, w, nil)},
		{recordedBacklog, most(m.EventBacklog, "group")},
		{recordedPoolUse, sum(series(m.PoolConnections, `state="in_use"`), "instance") + " / " + sum(m.PoolMax, "instance")},
		{recordedPoolWaits, sum(rate(m.PoolEmptyWaitSeconds, w), "instance")},
		{recordedErrors, sum(rate(m.StatementErrors, w), "class") + " / on () group_left () " + sum(rate(m.StatementSeconds+"_count", w))},
	}
}

// backlogThatCounts is a backlog below which growing is no news: a burst leaves as much.
const backlogThatCounts = 1000

// Alerts are the alerts at a pace.
func Alerts(p Pace) []Alert {
	w, patience := promDuration(p.Window), promSeconds(p.Patience)
	return []Alert{
		{
			Name: "SafeboxReplicaDown", Severity: Ticket, For: 2 * time.Minute,
			Expr:        series("up", safeboxJob) + " == 0",
			Summary:     "Replica {{ $labels.instance }} does not answer Prometheus",
			Description: "The process is gone, hangs, or the network between the two is cut. The other replicas take over its work.",
		},
		{
			Name: "SafeboxNoReplicaReady", Severity: Page, For: 2 * time.Minute,
			Expr:        "(" + sum(series(m.ReplicaState, `state="ready"`)) + " or vector(0)) == 0",
			Summary:     "No replica is ready",
			Description: "No event is processed and none is taken. Either no leader has prepared the database, or no replica runs.",
		},
		{
			Name: "SafeboxInitialisationFailed", Severity: Page,
			Expr:        most(series(m.InitMarker, `state="failed"`)) + " > 0 or " + most(series(m.InitState, `state="failed"`)) + " > 0",
			Summary:     "A process failed to prepare the database",
			Description: "The last leader left the marker at failed. New replicas do not become ready; those that ran before go on.",
		},
		{
			Name: "SafeboxInitialisationSlow", Severity: Ticket, For: 10 * time.Minute,
			Expr:        sum(series(m.InitState, `state=~"leading|waiting"`), "instance") + " > 0",
			Summary:     "Replica {{ $labels.instance }} has been leading or waiting for a leader for long",
			Description: "A migration takes long or waits for a lock that another session holds.",
		},
		{
			Name: "SafeboxDatabaseUnreachable", Severity: Page, For: time.Minute,
			Expr:        "time() - " + most(m.ReplicaMeasured+" > 0", "instance") + " > " + promSeconds(p.Silence),
			Summary:     "Replica {{ $labels.instance }} has not read the database for {{ $value | humanizeDuration }}",
			Description: "It reads the database every 5 s. The server is away, refuses it, or does not answer in time.",
		},
		{
			Name: "SafeboxPoolNearlyExhausted", Severity: Ticket, For: 5 * time.Minute,
			Expr:        recordedPoolUse + " > 0.9",
			Summary:     "{{ $value | humanizePercentage }} of the pool of replica {{ $labels.instance }} is in use",
			Description: "The next burst has to wait for connections, and may time out.",
		},
		{
			Name: "SafeboxPoolWaits", Severity: Ticket, For: 5 * time.Minute,
			Expr:    recordedPoolWaits + " > 0.5 or " + sum(rate(m.PoolAcquireTimeouts, w), "instance") + " > 0",
			Summary: "Callers of replica {{ $labels.instance }} wait for connections",
			Description: "Half a caller or more waits at every moment because no connection is idle, or callers gave up after " +
				"DB_POOL_TIMEOUT_SECONDS.",
		},
		{
			Name: "SafeboxStatementErrors", Severity: Page, For: 5 * time.Minute,
			Expr:        recordedErrors + `{class!="canceled"} > 0.01`,
			Summary:     "{{ $value | humanizePercentage }} of the statements fail with class {{ $labels.class }}",
			Description: "More than one in a hundred, over all replicas. The class says where to look.",
		},
		{
			Name: "SafeboxLag", Severity: Page, For: 5 * time.Minute,
			Expr:        recordedLag + " > " + promSeconds(p.Late),
			Summary:     "One event in a hundred is applied {{ $value | humanizeDuration }} or more after its append",
			Description: "The replicas process events, too slowly for what comes in.",
		},
		{
			Name: "SafeboxEventsStuck", Severity: Page, For: time.Minute,
			Expr:        "time() - " + least(m.EventOldest+" > 0") + " > " + patience,
			Summary:     "An event has waited for {{ $value | humanizeDuration }}",
			Description: "It is not parked and not processed: something holds its partition, its wallet's row, or every lane.",
		},
		{
			Name: "SafeboxBacklogGrowing", Severity: Ticket, For: 15 * time.Minute,
			Expr:        fmt.Sprintf("deriv(%s[%s]) > 0 and %s > %d", recordedBacklog, w, recordedBacklog, backlogThatCounts),
			Summary:     "The backlog of group {{ $labels.group }} grows",
			Description: "More events come in than are processed.",
		},
		{
			Name: "SafeboxWalletParked", Severity: Ticket, For: time.Minute,
			Expr:        most(m.ParkedWallets) + " > 0",
			Summary:     "{{ $value }} wallets wait behind an event that cannot be processed",
			Description: "Every other wallet goes on. Each of these waits until somebody retries or skips its parked event.",
		},
		{
			Name: "SafeboxReplicaNotDraining", Severity: Ticket, For: 2 * time.Minute,
			Expr:        most(series(m.ReplicaState, `state="draining"`), "instance") + " > 0",
			Summary:     "Replica {{ $labels.instance }} was asked to stop and has not",
			Description: "It waits for a batch that does not end. After SAFEBOX_DRAIN_SECONDS it rolls that back and exits with 75.",
		},
		{
			Name: "SafeboxVersionSkew", Severity: Ticket, For: time.Hour,
			Expr:        "count(count by (version) (" + m.BuildInfo + ")) > 1",
			Summary:     "Replicas of {{ $value }} versions run at once",
			Description: "A rollout that takes an hour has stopped half-way.",
		},
		{
			Name: "SafeboxGuardViolated", Severity: Ticket,
			Expr:        most(m.GuardViolations, "guard") + " > 0",
			Summary:     "{{ $value }} values break the guard {{ $labels.guard }}",
			Description: "Several wallets share a value that must be unique; the next leader will refuse to prepare the database.",
		},
		{
			Name: "SafeboxBackupOld", Severity: Ticket,
			Expr:        "time() - (" + most(m.BackupTaken) + " != 0) > " + promSeconds(p.Backup),
			Summary:     "The last backup was taken {{ $value | humanizeDuration }} ago",
			Description: "`safebox backup` was run before and is not any more. A database that was never backed up by it is left alone.",
		},
		{
			Name: "SafeboxBackupUnverified", Severity: Ticket, For: time.Hour,
			Expr:        most(m.BackupTaken) + " - " + most(m.BackupVerified) + " > " + promSeconds(p.Proof),
			Summary:     "No backup has been found good for long, or ever",
			Description: "Backups are taken, and none was restored lately: whether they can be is not known. `safebox backup verify FILE` tells.",
		},
		{
			Name: "SafeboxDiskFull", Severity: Page,
			Expr:        sum("increase("+series(m.StatementErrors, `class="disk_full"`)+"["+w+"])") + " > 0",
			Summary:     "The database's disk is full",
			Description: "Statements fail because the database cannot write. Nothing that was acknowledged is lost; nothing new is taken.",
		},
	}
}

// runbook is where the sections of the alerts stand.
const runbook = "https://github.com/safebox/safebox/blob/main/deploy/RUNBOOK.md#"

// Runbook is the address of the alert's section.
func (a Alert) Runbook() string { return runbook + strings.ToLower(a.Name) }

// Rules is the file of recording and alerting rules at a pace, in Prometheus' YAML.
func Rules(p Pace) []byte {
	var b strings.Builder
	b.WriteString("# Made by `go generate ./deploy/watch`: a change by hand would be lost.\ngroups:\n")
	group := func(name string) {
		fmt.Fprintf(&b, "  - name: %s\n", name)
		if p.Every > 0 {
			fmt.Fprintf(&b, "    interval: %s\n", promDuration(p.Every))
		}
		b.WriteString("    rules:\n")
	}
	group("safebox-recordings")
	for _, r := range Recordings(p) {
		fmt.Fprintf(&b, "      - record: %s\n        expr: %s\n", r.Name, quoted(r.Expr))
	}
	group("safebox-alerts")
	for _, a := range Alerts(p) {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n", a.Name, quoted(a.Expr))
		if a.For > 0 {
			fmt.Fprintf(&b, "        for: %s\n", promDuration(p.For(a.For)))
		}
		fmt.Fprintf(&b, "        labels:\n          severity: %s\n", a.Severity)
		fmt.Fprintf(&b, "        annotations:\n          summary: %s\n          description: %s\n          runbook_url: %s\n",
			quoted(a.Summary), quoted(a.Description), a.Runbook())
	}
	return []byte(b.String())
}

// quoted is text in YAML's single quotes, in which nothing but the quote itself has a meaning.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// promDuration is a duration in Prometheus' form, and promSeconds its number in seconds.
func promDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

func promSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
