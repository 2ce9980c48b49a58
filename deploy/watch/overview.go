package watch

import m "github.com/safebox/safebox/metrics" // m: its names stand in every query

func overview() Dashboard {
	return Dashboard{
		UID: "safebox-overview", Title: "Safebox / Overview",
		Description: "Is the service up, does it keep pace, and does anything wait for a person?",
		Rows: []Row{
			{"Now", []Panel{
				{
					Title: "Replicas ready", Number: true, Unit: Count,
					Description: "Replicas that take work. 0: no event is processed and none is taken; fewer than you deployed: see Initialisation for those that wait or failed, and the pods or units for those that are gone.",
					Queries:     []Query{{sum(of(m.ReplicaState, `state="ready"`)), "ready"}},
				},
				{
					Title: "Backlog", Number: true, Unit: Count,
					Description: "Events in the log that are not processed yet, as the replicas last read it. Growing for minutes: more comes in than goes out; look at lag, at the lanes at work, and at the database's locks.",
					Queries:     []Query{{most(of(m.EventBacklog, `group="ledger"`)), "events"}},
				},
				{
					Title: "Parked wallets", Number: true, Unit: Count,
					Description: "Wallets that wait behind an event that cannot be processed. More than 0 wants a person: `safebox parked list` shows the error, `safebox parked retry` or `skip` ends the wait. Every other wallet goes on.",
					Queries:     []Query{{most(of(m.ParkedWallets)), "wallets"}},
				},
				{
					Title: "Oldest event waits", Number: true, Unit: Seconds,
					Description: "How long the first event that is not processed yet has been in the log; 0 when none waits. Growing while the backlog does not move: something holds a lock or the lanes are stuck.",
					Queries:     []Query{{"(time() - " + least(of(m.EventOldest)+" > 0") + ") or vector(0)", "age"}},
				},
				{
					Title: "Leader", Number: true, Unit: Count,
					Description: "1 for the replica that prepared the database, if it still runs. None is no fault: once the database is ready there is nothing left to lead.",
					Queries:     []Query{{most(of(m.InitLeader), "instance"), "{{instance}}"}},
				},
				{
					Title: "Builds", Number: true, Unit: Count,
					Description: "Replicas by version. Two versions for longer than a rollout takes: it stopped half-way; finish it or take it back.",
					Queries:     []Query{{"count by (version) (" + of(m.BuildInfo) + ")", "{{version}}"}},
				},
			}},
			{"Events", []Panel{
				{
					Title: "Events a second by outcome", Unit: PerSecond,
					Description: "Events processed, by what became of them. Rejected is a business answer and no fault; parked is one for a person. Flat at 0 with a backlog: nothing is processed.",
					Queries:     []Query{{sum(rate(of(m.Events), interval), "outcome"), "{{outcome}}"}},
				},
				{
					Title: "Appends a second by result", Unit: PerSecond,
					Description: "Events that were offered for the log. Conflicts: a publisher uses an id for two different events; refusals: it sends what the catalogue does not allow. Both are answered with the field and the reason.",
					Queries:     []Query{{sum(rate(of(m.EventsAppended), interval), "result"), "{{result}}"}},
				},
				{
					Title: "Lag", Unit: Seconds,
					Description: "From an event's append to the commit of its processing, by the database's clock. At rest a few milliseconds. High with a small backlog: the database is slow, see its statements and locks; high with a large one: add lanes or replicas.",
					Queries: []Query{
						{quantile(.5, m.EventLag, interval, []string{chosen}), "half"},
						{quantile(.99, m.EventLag, interval, []string{chosen}), "99 of 100"},
					},
				},
				{
					Title: "Backlog over time", Unit: Count,
					Description: "Events that wait, by consumer group. It should return to 0 after each burst. No line: the database does not answer, and no old number is shown in its place.",
					Queries:     []Query{{most(of(m.EventBacklog, `group="ledger"`), "group"), "{{group}}"}},
				},
				{
					Title: "Parked", Unit: Count,
					Description: "Events set aside and the wallets that wait behind them. A step that stays wants a person: `safebox parked list`.",
					Queries:     []Query{{most(of(m.ParkedEvents)), "events"}, {most(of(m.ParkedWallets)), "wallets"}},
				},
				{
					Title: "Rejections a second by type", Unit: PerSecond,
					Description: "Final business answers such as insufficient_funds. A sudden rise is a client's mistake or an attack: `safebox wallet history` shows the reasons of a wallet.",
					Queries:     []Query{{sum(rate(of(m.Events, `outcome="rejected"`), interval), "type"), "{{type}}"}},
				},
			}},
			{"Work", []Panel{
				{
					Title: "Lanes at work", Unit: Count,
					Description: "Lanes of each replica that work on a batch now. At their maximum (SAFEBOX_LANES) with a growing backlog: more lanes or replicas help, until the database is full. Fewer, with a backlog: more would only wait for one another's wallets; the server is the limit.",
					Queries:     []Query{{sum(of(m.LanesBusy), "instance"), "{{instance}}"}},
				},
				{
					Title: "Events in a batch", Unit: Count,
					Description: "Mean size of the committed batches. Small batches under a large backlog: they were halved because something in them fails; look at the retries.",
					Queries: []Query{{
						sum(rate(of(m.BatchEvents+"_sum"), interval)) + " / " + sum(rate(of(m.BatchEvents+"_count"), interval)), "events",
					}},
				},
				{
					Title: "Time of a batch by phase", Unit: Seconds,
					Description: "Mean time of each phase. The one that grew names the cause: commit the database's disk, load and store its statements or locks, claim many replicas at few partitions; fold is this program's own work.",
					Queries: []Query{{
						sum(rate(of(m.BatchSeconds+"_sum"), interval), "phase") + " / " + sum(rate(of(m.BatchSeconds+"_count"), interval), "phase"), "{{phase}}",
					}},
				},
				{
					Title: "Handler's time", Unit: Seconds,
					Description: "What Watermill's router sees: the time a handler takes for one message, which has the events of a batch, 99 of 100. A few microseconds an event for the ledger; tens of milliseconds mean that the machine is short of processor: raise the container's limit.",
					Queries:     []Query{{quantile(.99, m.RouterSeconds, interval, []string{chosen, `handler_name="ledger"`}, "handler_name"), "{{handler_name}}"}},
				},
				{
					Title: "Messages a second", Unit: PerSecond,
					Description: "The batches that Watermill's router delivered, a message each, by whether it was acknowledged. Those that were not are tried again; many for minutes: see the retries and the log.",
					Queries:     []Query{{sum(rate(of(m.RouterDeliveries), interval), "acked"), "{{acked}}"}},
				},
				{
					Title: "Memory", Unit: Bytes,
					Description: "Resident memory of each replica. It does not grow with the backlog; one that grows for hours is a leak: take a profile and restart the replica, which loses nothing.",
					Queries:     []Query{{sum(of("process_resident_memory_bytes", safeboxJob), "instance"), "{{instance}}"}},
				},
				{
					Title: "Processor", Unit: Count,
					Description: "Processors that each replica keeps busy. At the limit of its container it is throttled, which shows as lag: raise the limit or add replicas.",
					Queries:     []Query{{sum(rate(of("process_cpu_seconds_total", safeboxJob), interval), "instance"), "{{instance}}"}},
				},
			}},
		},
	}
}

// safeboxJob picks what is scraped as Safebox among what every program shows.
const safeboxJob = `job=~".*safebox.*"`
