-- name: append_lock
-- Taken in the order of the array, which is sorted, so that two appends never wait for each other in a circle. The settings are
-- those of settle_plans, for append_events: the server would plan that anew again and again, which takes longer than the append.
SELECT pg_advisory_xact_lock($1::integer, p) FROM unnest($2::integer[]) AS p
WHERE (SELECT set_config('enable_seqscan', 'off', true) || set_config('enable_bitmapscan', 'off', true)
    || set_config('plan_cache_mode', 'force_generic_plan', true)) IS NOT NULL

-- name: append_events
-- Runs after append_lock as a statement of its own: its snapshot sees everything that earlier holders committed. It writes
-- all of its input or, where the log has some of that, nothing: then it answers with those, and the caller comes again
-- without them. So the caller may number the events of each partition, and no row is sorted, ranked or sent back here.
-- $13 is whether it looks: where it does not, event_log_identity refuses what the log has, and all the rest with it.
WITH known AS MATERIALIZED (
    SELECT i.ord, l.partition, l.position, l.type = i.type AND l.subject = i.subject AND l.data = i.data AS same
    FROM unnest($5::integer[], $6::text[], $7::text[], $8::text[], $9::text[], $11::text[]) AS i (ord, source, id, type, subject, data)
    CROSS JOIN LATERAL (
        SELECT * FROM event_log WHERE topic = $1 AND source = i.source AND id = i.id LIMIT 1
    ) l
    WHERE $13::boolean
), head AS MATERIALIZED (
    -- The look begins where the caller last saw the head: else it would read all that the page of the index has of the partition.
    SELECT p.partition, coalesce(l.position, 0) AS position, l.recorded_at
    FROM unnest($2::integer[], $14::bigint[]) AS p (partition, since) LEFT JOIN LATERAL (
        SELECT position, recorded_at FROM event_log
        WHERE topic = $1 AND partition = p.partition AND position >= p.since ORDER BY position DESC LIMIT 1
    ) l ON true
), heads AS MATERIALIZED (
    -- Never before what these partitions hold already, so that the times of recording grow inside each, whatever the clock does.
    SELECT array_agg(position ORDER BY partition) AS positions, greatest(clock_timestamp(), max(recorded_at)) AS began FROM head
), added AS (
    INSERT INTO event_log (topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at)
    SELECT $1, ($2::integer[])[i.slot], h.positions[i.slot] + i.number, i.source, i.id, i.type, i.subject, i.time, i.data, i.metadata,
        h.began + i.ord * interval '1 microsecond'
    FROM heads h CROSS JOIN (
        SELECT unnest($3::integer[]) AS slot, unnest($4::integer[]) AS number, unnest($5::integer[]) AS ord, unnest($6::text[]) AS source,
            unnest($7::text[]) AS id, unnest($8::text[]) AS type, unnest($9::text[]) AS subject, unnest($10::timestamptz[]) AS time,
            unnest($11::text[]) AS data, unnest($12::text[]) AS metadata
    ) i
    WHERE NOT EXISTS (SELECT FROM known)
)
SELECT 0, 'appended', partition, position FROM head WHERE NOT EXISTS (SELECT FROM known)
UNION ALL
SELECT ord, CASE WHEN same THEN 'duplicate' ELSE 'conflict' END, partition, position FROM known

-- name: heads
SELECT p, (SELECT l.position FROM event_log l WHERE l.topic = $1 AND l.partition = p ORDER BY l.position DESC LIMIT 1)
FROM generate_series(0, 63) AS p

-- name: announce
-- A notification is nothing that has to survive a crash: its commit does not wait for the disk.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('safebox_events', $1)

-- name: listen_events
LISTEN safebox_events

-- name: events_by_id
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = $1 AND source = $2 AND id = $3

-- name: events_by_id_any_source
-- Steps from source to source on the index of identities, and looks for the id under each: sources are few, events are not.
WITH RECURSIVE sources (source) AS (
    SELECT (SELECT source FROM event_log WHERE topic = $1 ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT l.source FROM event_log l WHERE l.topic = $1 AND l.source > s.source ORDER BY l.source LIMIT 1)
    FROM sources s WHERE s.source IS NOT NULL
)
SELECT l.topic, l.partition, l.position, l.source, l.id, l.type, l.subject, l.time, l.data, l.metadata, l.recorded_at
FROM sources s CROSS JOIN LATERAL (SELECT * FROM event_log WHERE topic = $1 AND source = s.source AND id = $2 OFFSET 0) l
WHERE s.source IS NOT NULL ORDER BY s.source LIMIT 100

-- name: read_log
SELECT topic, partition, position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log WHERE topic = $1 AND partition = $2 AND position > $3 ORDER BY position LIMIT $4

-- name: recorded_at
SELECT recorded_at FROM event_log WHERE topic = $1 AND partition = $2 AND position = $3
