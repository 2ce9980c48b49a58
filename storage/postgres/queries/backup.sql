-- The record of backups. It is no part of the schema's revisions: a backup makes the table where it is not there yet.

-- name: backup_exists
SELECT to_regclass('safebox_backup') IS NOT NULL;

-- name: backup_create
CREATE TABLE IF NOT EXISTS safebox_backup (
    sha256      text        NOT NULL CONSTRAINT safebox_backup_pkey PRIMARY KEY,
    bytes       bigint      NOT NULL,
    taken_at    timestamptz NOT NULL,
    verified_at timestamptz
);

-- name: backup_note
INSERT INTO safebox_backup (sha256, bytes, taken_at) VALUES ($1, $2, now())
ON CONFLICT (sha256) DO UPDATE SET taken_at = now();

-- name: backup_verified
UPDATE safebox_backup SET verified_at = now() WHERE sha256 = $1;

-- name: backup_last
SELECT max(taken_at), max(verified_at) FROM safebox_backup;

-- name: restore_tables
SELECT n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
ORDER BY 1
LIMIT 5;
