-- name: append_event
-- Changes no row when the log has the identity already.
INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (topic, source, id) DO NOTHING

-- name: known_event
SELECT partition, position, type = ?4 AND subject = ?5 AND data = ?6 FROM event_log WHERE topic = ?1 AND source = ?2 AND id = ?3

-- name: head
SELECT position, recorded_at FROM event_log WHERE topic = ?1 AND partition = ?2 ORDER BY position DESC LIMIT 1

-- name: heads
SELECT p.value, (SELECT l.position FROM event_log l WHERE l.topic = ?1 AND l.partition = p.value ORDER BY l.position DESC LIMIT 1)
FROM json_each(?2) AS p

-- name: events_by_id
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = ?1 AND source = ?2 AND id = ?3

-- name: events_by_id_any_source
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = ?1 AND id = ?2 ORDER BY source LIMIT 100
