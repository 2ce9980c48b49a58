-- name: begin_batch
BEGIN ISOLATION LEVEL READ COMMITTED

-- name: settle_plans
-- Whatever the tables' statistics say: a plan that was made while a table was empty, and is kept by the connection, would
-- read it whole for each key once it has grown. Every table that a batch looks into has an index for what it looks for, and
-- is read in its order; so the plan is the same for any arguments, and is not made anew for those of each batch. What such a plan
-- believes of the work, a tenth of a table, is no reason to compile it or to start processes for it.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)

-- name: commit_batch
COMMIT

-- name: rollback_batch
ROLLBACK

-- name: join_group
INSERT INTO event_cursor (topic, consumer_group, partition, position)
SELECT $1, $2, p.ord - 1, p.position FROM unnest($3::bigint[]) WITH ORDINALITY AS p (position, ord)
ON CONFLICT DO NOTHING

-- name: cursors
SELECT partition, position FROM event_cursor WHERE topic = $1 AND consumer_group = $2

-- name: claim
-- A partition without a row: another lane has it.
SELECT partition, position FROM event_cursor
WHERE topic = $1 AND consumer_group = $2 AND partition = ANY ($3::integer[]) FOR UPDATE SKIP LOCKED

-- name: claimed_events
-- After claim, once for each partition: as one statement for all, it takes three times as long for an event. Of a partition that
-- another lane has, nothing is read. The log's snapshot may be any: what is visible in it is final.
SELECT position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log
WHERE topic = $1 AND partition = $3 AND position > (
    SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = $3 FOR UPDATE SKIP LOCKED
)
ORDER BY position LIMIT $4

-- name: blocked_subjects
-- After claim, as a statement of its own: it must see what the last holders of the partitions parked. Where nothing is
-- parked, the log is not read again (ORDER BY makes that a probe of an index); where much is, only the subjects of this batch are looked for.
SELECT DISTINCT l.subject
FROM event_cursor c CROSS JOIN LATERAL (
    SELECT subject FROM event_log
    WHERE topic = $1 AND partition = c.partition AND position > c.position
    ORDER BY position LIMIT $4
) l
WHERE c.topic = $1 AND c.consumer_group = $2 AND c.partition = ANY ($3::integer[])
    AND (SELECT true FROM parked_event WHERE topic = $1 AND consumer_group = $2 AND partition = c.partition ORDER BY position LIMIT 1)
    AND (
        SELECT true FROM parked_event
        WHERE topic = $1 AND consumer_group = $2 AND partition = c.partition AND subject = l.subject ORDER BY position LIMIT 1
    )

-- name: lock_cursor
SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = $3 FOR UPDATE

-- name: claim_parked
SELECT l.position, l.source, l.id, l.type, l.subject, l.time, l.data, l.metadata, l.recorded_at
FROM (
    SELECT position FROM parked_event
    WHERE topic = $1 AND consumer_group = $2 AND partition = $3 AND subject = $4 ORDER BY position LIMIT 500
) p CROSS JOIN LATERAL (
    SELECT * FROM event_log WHERE topic = $1 AND partition = $3 AND position >= p.position ORDER BY position LIMIT 1
) l
ORDER BY l.position

-- name: move_cursors
UPDATE event_cursor c SET position = i.position
FROM unnest($3::integer[], $4::bigint[]) AS i (partition, position)
WHERE c.topic = $1 AND c.consumer_group = $2 AND c.partition = i.partition

-- name: unpark_events
DELETE FROM parked_event
WHERE topic = $1 AND consumer_group = $2 AND partition = $3 AND subject = $4 AND position <= $5

-- name: park_events
INSERT INTO parked_event (topic, consumer_group, partition, position, subject, error, attempts, parked_at)
SELECT $1, $2, i.partition, i.position, i.subject, i.error, i.attempts, now()
FROM unnest($3::integer[], $4::bigint[], $5::text[], $6::text[], $7::integer[]) AS i (partition, position, subject, error, attempts)
ON CONFLICT (topic, consumer_group, partition, position)
DO UPDATE SET error = excluded.error, attempts = parked_event.attempts + excluded.attempts

-- name: note_action
-- The partition is locked: nobody else numbers an action of this subject meanwhile.
INSERT INTO parked_action (topic, consumer_group, subject, number, action, actor, reason, first_position, last_position, events, error, at)
SELECT $1, $2, $3, 1 + coalesce(max(number), 0), $4, $5, $6, $7, $8, $9, $10, clock_timestamp()
FROM parked_action WHERE topic = $1 AND consumer_group = $2 AND subject = $3
