-- The record of backups. It is no part of the schema's revisions: a backup makes the table where it is not there yet.

-- name: backup_exists
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'safebox_backup';

-- name: backup_create
CREATE TABLE IF NOT EXISTS safebox_backup (
    sha256      TEXT    NOT NULL PRIMARY KEY,
    bytes       INTEGER NOT NULL,
    taken_at    TEXT    NOT NULL,
    verified_at TEXT
);

-- name: backup_note
INSERT INTO safebox_backup (sha256, bytes, taken_at) VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%f000Z'))
ON CONFLICT (sha256) DO UPDATE SET taken_at = excluded.taken_at;

-- name: backup_verified
UPDATE safebox_backup SET verified_at = strftime('%Y-%m-%dT%H:%M:%f000Z') WHERE sha256 = ?1;

-- name: backup_last
SELECT max(taken_at), max(verified_at) FROM safebox_backup;

-- name: restore_tables
SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY 1 LIMIT 5;
