package watch

import m "github.com/safebox/safebox/metrics" // m: its names stand in every query

func database() Dashboard {
	return Dashboard{
		UID: "safebox-database", Title: "Safebox / Database",
		Description: "What the replicas ask of the database, how long it takes, and what it refuses.",
		Rows: []Row{
			{"Pool", []Panel{
				{
					Title: "Connections", Unit: Count,
					Description: "Connections in use and idle, over all replicas, against the most that their pools may open. In use at the maximum: callers wait; find what holds them (a lock, a slow statement) before raising DB_POOL_SIZE.",
					Queries: []Query{
						{sum(of(m.PoolConnections), "state"), "{{state}}"},
						{sum(of(m.PoolMax)), "most"},
					},
				},
				{
					Title: "Share of the pool in use", Unit: Share,
					Description: "By replica. Near 1 for minutes: the next burst will time out. See below where the time goes and end what holds connections; if the load is real, raise DB_POOL_SIZE.",
					Queries:     []Query{{sum(of(m.PoolConnections, `state="in_use"`), "instance") + " / " + sum(of(m.PoolMax), "instance"), "{{instance}}"}},
				},
				{
					Title: "Wait for a connection", Unit: Seconds,
					Description: "99 of 100 callers waited no longer. Above 0.1 s the pool is too small for what its callers hold, or the database is slow: compare the statement times, and raise DB_POOL_SIZE only if those are as ever.",
					Queries:     []Query{{quantile(.99, m.PoolAcquireSeconds, interval, []string{chosen}), "99 of 100"}},
				},
				{
					Title: "Seconds waited a second", Unit: Count,
					Description: "How many callers, on average, wait for a connection because none is idle. Above 0 for minutes: the pool is the bottleneck; find what holds the connections, or raise DB_POOL_SIZE within max_connections.",
					Queries:     []Query{{sum(rate(of(m.PoolEmptyWaitSeconds), interval), "instance"), "{{instance}}"}},
				},
				{
					Title: "Callers that gave up", Unit: PerSecond,
					Description: "Waits longer than DB_POOL_TIMEOUT_SECONDS. Any is a failed request or a batch that is tried again: look at the share of the pool in use, then for a lock or a slow statement.",
					Queries:     []Query{{sum(rate(of(m.PoolAcquireTimeouts), interval), "instance"), "{{instance}}"}},
				},
				{
					Title: "Connections opened and closed", Unit: PerSecond,
					Description: "Broken: the server or the network ended them, and the server's log says which; overflow: the load swings around DB_POOL_SIZE, which is then too small; recycle is DB_POOL_RECYCLE_SECONDS at work.",
					Queries: []Query{
						{sum(rate(of(m.PoolOpened), interval)), "opened"},
						{sum(rate(of(m.PoolClosed), interval), "reason"), "closed: {{reason}}"},
					},
				},
			}},
			{"Statements", []Panel{
				{
					Title: "Statements a second", Unit: PerSecond,
					Description: "The ten most frequent, by name; the name is that in storage/*/queries/*.sql and in the log. A replica at rest sends about ten a second. Many more with no events: somebody asks over HTTP without end, or a batch is tried again and again; look at the retries.",
					Queries:     []Query{{top(10, sum(rate(of(m.StatementSeconds+"_count"), interval), "statement")), "{{statement}}"}},
				},
				{
					Title: "Statement time, 99 of 100", Unit: Seconds,
					Description: "The ten slowest. A jump of one statement: its plan changed, so run ANALYZE and see that its index is there (`safebox doctor`); of all: the disk, a lock, or a neighbour. commit is the disk alone.",
					Queries:     []Query{{top(10, quantile(.99, m.StatementSeconds, interval, []string{chosen}, "statement")+" > 0"), "{{statement}}"}},
				},
				{
					Title: "Where the time goes", Unit: Share,
					Description: "Seconds that each statement takes a second, over all replicas: the ten dearest. One that takes most of what the replicas have: look at its time and at locks on its table first.",
					Queries:     []Query{{top(10, sum(rate(of(m.StatementSeconds+"_sum"), interval), "statement")), "{{statement}}"}},
				},
			}},
			{"Errors", []Panel{
				{
					Title: "Errors a second by class", Unit: PerSecond,
					Description: "connection and admin_shutdown: the server is away or restarts; too_many_connections: max_connections against pools × replicas; disk_full: act now; lock_timeout and deadlock: another session locks the same rows; unique: two lanes took one value, which is tried again.",
					Queries:     []Query{{sum(rate(of(m.StatementErrors), interval), "class"), "{{class}}"}},
				},
				{
					Title: "Errors a second by statement", Unit: PerSecond,
					Description: "The ten that fail most, with the class. One statement alone: its table or its input; every statement: the server. connect stands for attempts to connect.",
					Queries:     []Query{{top(10, sum(rate(of(m.StatementErrors), interval), "statement", "class")), "{{statement}}: {{class}}"}},
				},
				{
					Title: "Share of statements that fail", Unit: Share,
					Description: "Of all statements, by class. Above 1 % for minutes an alert tells of it, and its section in the runbook says what to do by class.",
					Queries: []Query{{
						sum(rate(of(m.StatementErrors), interval), "class") + " / on () group_left () " +
							sum(rate(of(m.StatementSeconds+"_count"), interval)), "{{class}}",
					}},
				},
				{
					Title: "Retries a second by reason", Unit: PerSecond,
					Description: "Batches that were rolled back and are tried again. payee is a transfer that waits for a registration; handler is an event that will be parked if it goes on failing; the rest are classes of errors. A rate that lasts is a batch that never gets through: the log at warn names it.",
					Queries:     []Query{{sum(rate(of(m.TransactionRetries), interval), "reason"), "{{reason}}"}},
				},
				{
					Title: "Time since the database was last read", Unit: Seconds,
					Description: "By replica; at most 5 s while the database answers. More: a replica alone has lost its network or its pool; all of them: bring the server back, they connect again by themselves.",
					Queries:     []Query{{"time() - " + most(of(m.ReplicaMeasured)+" > 0", "instance"), "{{instance}}"}},
				},
				{
					Title: "Clock of the database", Unit: Seconds,
					Description: "How far it is ahead of each replica's machine. Lags are corrected by it; more than a second means that time synchronisation is off on one of them: mend it there; no event is lost or reordered by it.",
					Queries:     []Query{{most(of(m.ClockOffset), "instance"), "{{instance}}"}},
				},
			}},
		},
	}
}
