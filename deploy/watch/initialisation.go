package watch

import m "github.com/safebox/safebox/metrics" // m: its names stand in every query

func initialisation() Dashboard {
	return Dashboard{
		UID: "safebox-initialisation", Title: "Safebox / Initialisation",
		Description: "Who prepared the database, who waits for it, and what keeps a replica from becoming ready.",
		Rows: []Row{
			{"Now", []Panel{
				{
					Title: "Marker in the database", Number: true, Unit: Count,
					Description: "The state that the last leader left, whichever process it was. failed: a new build or `safebox init` could not prepare the database; `safebox status` says why: mend that and run `safebox init`. The replicas that run go on.",
					Queries:     []Query{{most(of(m.InitMarker), "state"), "{{state}}"}},
				},
				{
					Title: "Replicas by state", Number: true, Unit: Count,
					Description: "How far each has come: waiting is normal while somebody leads; failed processes end with the leader's error and are started again by their orchestrator. Any that stay failed or waiting: `safebox status` says what the leader does or why it failed.",
					Queries:     []Query{{sum(of(m.InitState), "state"), "{{state}}"}},
				},
				{
					Title: "Schema", Number: true, Unit: Count,
					Description: "Replicas by the revision that they became ready on. Two revisions after a rollout: some replicas have not been restarted; finish the rollout.",
					Queries:     []Query{{"count by (revision) (" + of(m.SchemaInfo) + ")", "{{revision}}"}},
				},
				{
					Title: "Values that break a guard", Number: true, Unit: Count,
					Description: "npubs, handles and access keys that several wallets have. More than 0: the next start of a leader refuses to go on; `safebox guard` lists the rows.",
					Queries:     []Query{{most(of(m.GuardViolations), "guard"), "{{guard}}"}},
				},
			}},
			{"Over time", []Panel{
				{
					Title: "Waiters", Unit: Count,
					Description: "Replicas that wait for a leader. For minutes: the leader migrates, or waits for a lock that another session holds; `safebox status` names it and what it runs.",
					Queries: []Query{
						{sum(of(m.InitState, `state="waiting"`)), "waiting"},
						{sum(of(m.InitState, `state="leading"`)), "leading"},
					},
				},
				{
					Title: "Time waited for a leader", Unit: Seconds,
					Description: "By replica; it grows while the replica waits. For minutes: `safebox status` names the leader and what it runs; an index build may take that long, a lock of another session is to be ended.",
					Queries:     []Query{{most(of(m.InitWaitSeconds), "instance"), "{{instance}}"}},
				},
				{
					Title: "Duration by phase", Unit: Seconds,
					Description: "How long each replica's last initialisation took. initialise is the leader's migrations, guards and seed; wait is the others'. Minutes where it took seconds before: a table has grown, or a lock was in the way; plan for it in the next rollout.",
					Queries:     []Query{{most(of(m.InitSeconds), "instance", "phase"), "{{instance}}: {{phase}}"}},
				},
				{
					Title: "Elections", Unit: Count,
					Description: "Replicas by how they became ready: one led, those beside it followed, later ones found the database already ready. newer is an old build on a newer schema; failed wants a look at the log.",
					Queries:     []Query{{sum(of(m.InitElections), "outcome"), "{{outcome}}"}},
				},
				{
					Title: "Age of the processes", Unit: Seconds,
					Description: "Time since each replica was started. One that starts over and over fails each time: its log and exit code say at what, and the runbook what to do by exit code (SafeboxReplicaDown).",
					Queries:     []Query{{"time() - " + most(of("process_start_time_seconds", safeboxJob), "instance"), "{{instance}}"}},
				},
				{
					Title: "State of the replicas", Unit: Count,
					Description: "Replicas by state. draining for longer than SAFEBOX_DRAIN_SECONDS: something holds its last batch; after that it is rolled back and another replica processes it.",
					Queries:     []Query{{sum(of(m.ReplicaState), "state"), "{{state}}"}},
				},
			}},
		},
	}
}
