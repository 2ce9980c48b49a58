-- The initialisation lock and the ready marker. The lock is the session advisory lock 841337001, the key that the Python
-- program takes, so that the two exclude each other. The marker is one row.

-- name: init_backend
SELECT pg_backend_pid();

-- name: init_try_lock
SELECT pg_try_advisory_lock(841337001);

-- name: init_lock_held
SELECT count(*) > 0
FROM pg_locks
WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = 0 AND objid = 841337001 AND objsubid = 1;

-- Many may wait, and ask this again and again: it looks at no session.
-- name: init_locked
SELECT count(*) > 0
FROM pg_locks
WHERE locktype = 'advisory' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = 0 AND objid = 841337001 AND objsubid = 1;

-- Who has this lock is the one to open a session for the initialisation lock.
-- name: init_stand
SELECT pg_try_advisory_xact_lock(841337002);

-- name: init_session_holds
SELECT count(*) > 0
FROM pg_locks
WHERE locktype = 'advisory' AND granted AND pid = $1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = 0 AND objid = 841337001 AND objsubid = 1;

-- name: init_unlock
SELECT pg_advisory_unlock(841337001);

-- The query of another role's session is hidden from roles that are not its member; its start is not.
-- name: init_holder
SELECT l.pid, coalesce(a.application_name, ''), a.backend_start, coalesce(a.state, ''), coalesce(a.query, '')
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = 0 AND l.objid = 841337001 AND l.objsubid = 1;

-- name: init_waiters
SELECT DISTINCT substr(application_name, length($1::text) + 1) AS instance
FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, $1::text)
ORDER BY instance;

-- name: init_marker_exists
SELECT to_regclass('safebox_init') IS NOT NULL;

-- name: init_alembic_version
SELECT version_num FROM alembic_version ORDER BY version_num;

-- name: init_create_marker
CREATE TABLE safebox_init (
    id                smallint    NOT NULL CONSTRAINT safebox_init_pkey PRIMARY KEY CONSTRAINT safebox_init_one_row CHECK (id = 1),
    state             text        NOT NULL,
    epoch             bigint      NOT NULL,
    digest            text        NOT NULL,
    holder            text        NOT NULL,
    activity          text        NOT NULL DEFAULT '',
    revision          text        NOT NULL DEFAULT '',
    oldest_compatible text        NOT NULL DEFAULT '',
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    error             text        NOT NULL DEFAULT '',
    code              integer     NOT NULL DEFAULT 0
);

-- name: init_marker
SELECT state, epoch, digest, holder, activity, revision, oldest_compatible, started_at, finished_at, error, code
FROM safebox_init
WHERE id = 1;

-- name: init_begin
INSERT INTO safebox_init AS m (id, state, epoch, digest, holder, started_at)
VALUES (1, 'running', 1, $1, $2, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET
    state = 'running', epoch = m.epoch + 1, digest = $1, holder = $2, activity = '', started_at = clock_timestamp(),
    finished_at = NULL, error = '', code = 0
RETURNING epoch;

-- name: init_activity
UPDATE safebox_init SET activity = $2 WHERE id = 1 AND epoch = $1 AND state = 'running';

-- name: init_ready
UPDATE safebox_init SET
    state = 'ready', activity = '', revision = $2, oldest_compatible = $3, finished_at = clock_timestamp(), error = '', code = 0
WHERE id = 1 AND epoch = $1;

-- name: init_failed
UPDATE safebox_init SET state = 'failed', activity = '', finished_at = clock_timestamp(), error = $2, code = $3
WHERE id = 1 AND epoch = $1;

-- name: init_notify
NOTIFY safebox_init;

-- name: init_listen
LISTEN safebox_init;
