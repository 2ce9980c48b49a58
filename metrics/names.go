package metrics

// The names of the series. Dashboards, recording rules and alerts are made from these constants, so that none of them can
// ask for a series that is not there. All begin with safebox_ and are in base units.
const (
	BuildInfo = "safebox_build_info"

	PoolConnections      = "safebox_db_pool_connections"
	PoolMax              = "safebox_db_pool_max_connections"
	PoolAcquires         = "safebox_db_pool_acquires_total"
	PoolAcquireSeconds   = "safebox_db_pool_acquire_duration_seconds"
	PoolEmptyAcquires    = "safebox_db_pool_empty_acquires_total"
	PoolEmptyWaitSeconds = "safebox_db_pool_empty_acquire_wait_seconds_total"
	PoolAcquireTimeouts  = "safebox_db_pool_acquire_timeouts_total"
	PoolOpened           = "safebox_db_pool_opened_total"
	PoolClosed           = "safebox_db_pool_closed_total"

	StatementSeconds   = "safebox_db_statement_duration_seconds"
	StatementErrors    = "safebox_db_statement_errors_total"
	TransactionRetries = "safebox_db_transaction_retries_total"
	ClockOffset        = "safebox_db_clock_offset_seconds"

	InitState       = "safebox_init_state"
	InitLeader      = "safebox_init_leader"
	InitSeconds     = "safebox_init_duration_seconds"
	InitWaitSeconds = "safebox_init_wait_seconds"
	InitElections   = "safebox_init_elections_total"
	InitMarker      = "safebox_init_marker_state"
	GuardViolations = "safebox_guard_violations"
	SchemaInfo      = "safebox_schema_info"

	ReplicaState     = "safebox_replica_state"
	ReplicaMeasured  = "safebox_replica_measured_timestamp_seconds"
	EventsAppended   = "safebox_events_appended_total"
	Events           = "safebox_events_total"
	EventLag         = "safebox_event_lag_seconds"
	EventBacklog     = "safebox_event_backlog"
	EventOldest      = "safebox_event_oldest_pending_timestamp_seconds"
	BatchEvents      = "safebox_batch_events"
	BatchSeconds     = "safebox_batch_duration_seconds"
	ParkedEvents     = "safebox_parked_events"
	ParkedWallets    = "safebox_parked_wallets"
	LanesBusy        = "safebox_lanes_busy"
	BackupTaken      = "safebox_backup_taken_timestamp_seconds"
	BackupVerified   = "safebox_backup_verified_timestamp_seconds"
	RouterSeconds    = "safebox_watermill_handler_execution_time_seconds"
	RouterDeliveries = "safebox_watermill_subscriber_messages_received_total"
)
