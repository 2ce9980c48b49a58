-- What the file tells of its own health, for `safebox doctor`.

-- name: vitals
SELECT 'SQLite ' || sqlite_version(), (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size);
