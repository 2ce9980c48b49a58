-- The statements of the handle itself.

-- name: ping
SELECT count(*) FROM sqlite_schema

-- name: data_version
PRAGMA data_version
