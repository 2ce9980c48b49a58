-- name: append_event
-- Changes no row when the log has the identity already.
INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (topic, source, id) DO NOTHING

-- name: known_event
SELECT partition, position, type = ?4 AND subject = ?5 AND data = ?6 FROM event_log WHERE topic = ?1 AND source = ?2 AND id = ?3

-- name: head
SELECT position FROM event_log WHERE topic = ?1 AND partition = ?2 ORDER BY position DESC LIMIT 1

-- name: latest
-- When the last append was recorded; times grow inside each partition.
SELECT max((SELECT l.recorded_at FROM event_log l WHERE l.topic = ?1 AND l.partition = p.value ORDER BY l.position DESC LIMIT 1))
FROM json_each(?2) AS p

-- name: heads
SELECT p.value, (SELECT l.position FROM event_log l WHERE l.topic = ?1 AND l.partition = p.value ORDER BY l.position DESC LIMIT 1)
FROM json_each(?2) AS p

-- name: events_by_id
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = ?1 AND source = ?2 AND id = ?3

-- name: events_by_id_any_source
-- Steps from source to source on the index of identities, and looks for the id under each: sources are few, events are not.
WITH RECURSIVE sources (source) AS (
    SELECT (SELECT source FROM event_log WHERE topic = ?1 ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT l.source FROM event_log l WHERE l.topic = ?1 AND l.source > s.source ORDER BY l.source LIMIT 1)
    FROM sources s WHERE s.source IS NOT NULL
)
SELECT l.topic, l.partition, l.position, l.source, l.id, l.type, l.subject, l.time, l.data, l.metadata, l.recorded_at
FROM sources s CROSS JOIN event_log l ON l.topic = ?1 AND l.source = s.source AND l.id = ?2
WHERE s.source IS NOT NULL ORDER BY s.source LIMIT 100

-- name: read_log
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = ?1 AND partition = ?2 AND position > ?3 ORDER BY position LIMIT ?4

-- name: recorded_at
SELECT recorded_at FROM event_log WHERE topic = ?1 AND partition = ?2 AND position = ?3
