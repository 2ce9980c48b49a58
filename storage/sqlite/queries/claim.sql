-- name: join_group
INSERT INTO event_cursor (topic, consumer_group, partition, position)
SELECT ?1, ?2, p.key, p.value FROM json_each(?3) AS p WHERE true
ON CONFLICT DO NOTHING

-- name: cursors
SELECT partition, position FROM event_cursor WHERE topic = ?1 AND consumer_group = ?2

-- name: claim
SELECT position FROM event_cursor WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3

-- name: read_batch
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = ?1 AND partition = ?2 AND position > ?3 ORDER BY position LIMIT ?4

-- name: blocked_subjects
-- Where nothing is parked, the log is not read again; where much is, only the subjects of this batch are looked for.
SELECT DISTINCT l.subject
FROM (SELECT 1 FROM parked_event WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3 LIMIT 1) CROSS JOIN event_log l
WHERE l.topic = ?1 AND l.partition = ?3 AND l.position > ?4 AND l.position <= ?5 AND EXISTS (
    SELECT 1 FROM parked_event p WHERE p.topic = ?1 AND p.consumer_group = ?2 AND p.partition = ?3 AND p.subject = l.subject
)

-- name: claim_parked
SELECT l.topic, l.partition, l.position, l.source, l.id, l.type, l.subject, l.time, l.data, l.metadata, l.recorded_at
FROM (
    SELECT position FROM parked_event
    WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3 AND subject = ?4 ORDER BY position LIMIT 500
) p CROSS JOIN event_log l ON l.topic = ?1 AND l.partition = ?3 AND l.position = p.position
ORDER BY l.position

-- name: move_cursor
UPDATE event_cursor SET position = ?4 WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3

-- name: unpark_events
DELETE FROM parked_event
WHERE topic = ?1 AND consumer_group = ?2 AND partition = ?3 AND subject = ?4 AND position <= ?5

-- name: park_events
INSERT INTO parked_event (topic, consumer_group, partition, position, subject, error, attempts, parked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (topic, consumer_group, partition, position)
DO UPDATE SET error = excluded.error, attempts = parked_event.attempts + excluded.attempts

-- name: note_action
-- The partition is locked: nobody else numbers an action of this subject meanwhile.
INSERT INTO parked_action (topic, consumer_group, subject, number, action, actor, reason, first_position, last_position, events, error, at)
SELECT ?1, ?2, ?3, 1 + coalesce(max(number), 0), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
FROM parked_action WHERE topic = ?1 AND consumer_group = ?2 AND subject = ?3
