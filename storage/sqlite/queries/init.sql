-- The ready marker: one row. The initialisation lock is on a file beside the database. Times are text in UTC with
-- microseconds, as in the event log.

-- name: init_marker_exists
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'safebox_init';

-- name: init_create_marker
CREATE TABLE IF NOT EXISTS safebox_init (
    id                INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    state             TEXT    NOT NULL,
    epoch             INTEGER NOT NULL,
    digest            TEXT    NOT NULL,
    holder            TEXT    NOT NULL,
    activity          TEXT    NOT NULL DEFAULT '',
    revision          TEXT    NOT NULL DEFAULT '',
    oldest_compatible TEXT    NOT NULL DEFAULT '',
    started_at        TEXT    NOT NULL,
    finished_at       TEXT,
    error             TEXT    NOT NULL DEFAULT '',
    code              INTEGER NOT NULL DEFAULT 0
);

-- name: init_alembic_version_exists
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'alembic_version';

-- name: init_alembic_version
SELECT version_num FROM alembic_version ORDER BY version_num;

-- name: init_marker
SELECT state, epoch, digest, holder, activity, revision, oldest_compatible, started_at, finished_at, error, code
FROM safebox_init
WHERE id = 1;

-- name: init_begin
INSERT INTO safebox_init (id, state, epoch, digest, holder, started_at)
VALUES (1, 'running', 1, ?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET
    state = 'running', epoch = safebox_init.epoch + 1, digest = ?1, holder = ?2, activity = '', started_at = ?3,
    finished_at = NULL, error = '', code = 0
RETURNING epoch;

-- name: init_ready
UPDATE safebox_init SET
    state = 'ready', activity = '', revision = ?2, oldest_compatible = ?3, finished_at = ?4, error = '', code = 0
WHERE id = 1 AND epoch = ?1;

-- name: init_failed
UPDATE safebox_init SET state = 'failed', activity = '', error = ?2, code = ?3, finished_at = ?4
WHERE id = 1 AND epoch = ?1;
