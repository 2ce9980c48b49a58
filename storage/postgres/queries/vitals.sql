-- What the server tells of its own health: one document, for `safebox doctor`. Every part of it may be read by any role.

-- name: vitals
WITH ours AS (
  SELECT c.oid, c.relowner, n.name, n.needs
  FROM (VALUES
    ('alembic_version', 'SELECT'), ('gorp_migrations', 'SELECT'), ('safebox_init', 'SELECT'), ('safebox_migration_checksum', 'SELECT'),
    ('safebox_migration_step', 'SELECT'),
    ('currencyrate', 'SELECT UPDATE'), ('event_cursor', 'SELECT INSERT UPDATE'), ('event_log', 'SELECT INSERT'),
    ('ledger_entry', 'SELECT INSERT'), ('nfcrequesternonce', 'SELECT INSERT'), ('nwcevent', 'SELECT INSERT'),
    ('nwcsecret', 'SELECT INSERT DELETE'), ('parked_action', 'SELECT INSERT'), ('parked_event', 'SELECT INSERT UPDATE DELETE'),
    ('paymentquote', 'SELECT INSERT UPDATE'), ('receiveofferbootstrap', 'SELECT INSERT'),
    ('registeredsafebox', 'SELECT INSERT UPDATE'), ('safebox_replica', 'SELECT INSERT UPDATE DELETE')
  ) AS n (name, needs)
  JOIN pg_class AS c ON c.relname = n.name AND c.relkind = 'r' AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
)
SELECT jsonb_build_object(
  'bytes', pg_database_size(current_database()),
  'name', 'PostgreSQL ' || current_setting('server_version'),
  'version', current_setting('server_version_num')::integer,
  'standby', pg_is_in_recovery(),
  'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name IN (
    'max_connections', 'superuser_reserved_connections', 'reserved_connections', 'fsync', 'full_page_writes', 'synchronous_commit',
    'statement_timeout', 'transaction_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout',
    'client_connection_check_interval', 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', 'tcp_user_timeout',
    'autovacuum', 'autovacuum_freeze_max_age', 'track_counts', 'track_activities', 'default_transaction_read_only')),
  'role', current_user,
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'role_limit', (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
  'database_limit', (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
  'connections', (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database),
  'schema', coalesce(current_schema(), ''),
  'may_create', coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
  'tables', (SELECT coalesce(jsonb_agg(name ORDER BY name), '[]') FROM ours),
  'lacking', (SELECT coalesce(jsonb_agg(privilege || ' on ' || name ORDER BY name, privilege), '[]')
    FROM ours, unnest(string_to_array(needs, ' ')) AS privilege
    WHERE NOT CASE privilege -- deploy/postgresql/roles.sql grants UPDATE by column
      WHEN 'UPDATE' THEN has_any_column_privilege(ours.oid, privilege) ELSE has_table_privilege(ours.oid, privilege) END),
  'not_owned', (SELECT coalesce(jsonb_agg(name ORDER BY name), '[]') FROM ours WHERE NOT pg_has_role(relowner, 'USAGE')),
  'transactions', (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM (
    SELECT application_name AS name, pid, state, xact_start AS since, extract(epoch FROM clock_timestamp() - xact_start) AS age
    FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    ORDER BY xact_start LIMIT 3) AS t),
  'hidden', (SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL AND NOT pg_has_role(usesysid, 'USAGE')
      AND NOT pg_has_role('pg_read_all_stats', 'USAGE')),
  'prepared', (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM (
    SELECT gid AS name, prepared AS since, extract(epoch FROM clock_timestamp() - prepared) AS age
    FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 3) AS t),
  'slots', (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM (
    SELECT slot_name AS name, active, coalesce(pg_wal_lsn_diff(
      CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint AS held
    FROM pg_replication_slots ORDER BY held DESC) AS t),
  'invalid', (SELECT coalesce(jsonb_agg(i.indexrelid::regclass::text ORDER BY 1), '[]')
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)),
  'frozen_age', (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())
)::text;
