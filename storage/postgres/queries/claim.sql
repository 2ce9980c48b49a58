-- name: begin_batch
BEGIN ISOLATION LEVEL READ COMMITTED

-- name: settle_plans
-- Whatever the tables' statistics say: a plan that was made while a table was empty, and is kept by the connection, would
-- read it whole for each key once it has grown. Every table that a batch looks into has an index for what it looks for, and
-- is read in its order; so the plan is the same for any arguments, and is not made anew for those of each batch. What such a plan
-- believes of the work, a tenth of a table, is no reason to compile it or to start processes for it.
-- Beside them, how long a replica that is frozen keeps what it has locked: the sessions of a pooler were not told at their start.
SELECT set_config('idle_in_transaction_session_timeout', '8s', true), set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)

-- name: commit_batch
COMMIT

-- name: rollback_batch
ROLLBACK

-- name: join_lock
-- Taken before join_group, whose snapshot then sees what others have joined.
SELECT pg_advisory_xact_lock($1::integer, -1)

-- name: join_group
INSERT INTO event_cursor (topic, consumer_group, partition, position, era)
SELECT $1, $2, p.ord - 1, p.position, p.position / 64 FROM unnest($3::bigint[]) WITH ORDINALITY AS p (position, ord)
WHERE (SELECT true FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.ord - 1 ORDER BY era DESC LIMIT 1) IS NULL

-- name: cursors
-- Here and below the era finds a cursor's newest version, which is the only one that is visible. The look goes back to the era in
-- which the caller last saw the cursor: else it would read all that the page of the index has of the partition. Here it is taken
-- up again without that where it finds none, since a server that was restored may have set the cursor back.
SELECT p.partition, c.position, c.era
FROM unnest($3::integer[], $4::bigint[]) AS p (partition, since) CROSS JOIN LATERAL (
    (SELECT position, era FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition AND era >= p.since ORDER BY era DESC LIMIT 1)
    UNION ALL
    (SELECT position, era FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition ORDER BY era DESC LIMIT 1)
    LIMIT 1
) c

-- name: claim
-- A partition without a row: another lane has it, or had it a moment ago. The row is looked for and then locked where it is:
-- past a row that is locked, the look would go on through all of its older versions.
SELECT c.partition, c.position, c.era
FROM unnest($3::integer[], $4::bigint[]) AS p (partition, since) CROSS JOIN LATERAL (
    SELECT ctid FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition AND era >= p.since ORDER BY era DESC LIMIT 1
) newest JOIN event_cursor c ON c.ctid = newest.ctid
FOR UPDATE OF c SKIP LOCKED

-- name: claimed_events
-- After claim, once for each partition: as one statement for all, it takes three times as long for an event. Of a partition that
-- another lane has, nothing is read. The log's snapshot may be any: what is visible in it is final.
SELECT position, source, id, type, subject, time, data, metadata, recorded_at
FROM event_log
WHERE topic = $1 AND partition = $3 AND position > (
    SELECT position FROM event_cursor
    WHERE ctid = (
        SELECT ctid FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = $3 AND era >= $5::bigint ORDER BY era DESC LIMIT 1
    )
    FOR UPDATE SKIP LOCKED
)
ORDER BY position LIMIT $4

-- name: blocked_subjects
-- After claim, as a statement of its own: it must see what the last holders of the partitions parked. Where nothing is
-- parked, the log is not read again (ORDER BY makes that a probe of an index); where much is, only the subjects of this batch are looked for.
SELECT DISTINCT l.subject
FROM unnest($3::integer[], $5::bigint[]) AS p (partition, since) CROSS JOIN LATERAL (
    SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition AND era >= p.since ORDER BY era DESC LIMIT 1
) c CROSS JOIN LATERAL (
    SELECT subject FROM event_log
    WHERE topic = $1 AND partition = p.partition AND position > c.position
    ORDER BY position LIMIT $4
) l
WHERE (SELECT true FROM parked_event WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition ORDER BY position LIMIT 1)
    AND (
        SELECT true FROM parked_event
        WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition AND subject = l.subject ORDER BY position LIMIT 1
    )

-- name: lock_cursor
SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = $3 ORDER BY era DESC LIMIT 1 FOR UPDATE

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
UPDATE event_cursor c SET position = i.position, era = i.position / 64
FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS i (partition, position, since) CROSS JOIN LATERAL (
    SELECT ctid FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = i.partition AND era >= i.since ORDER BY era DESC LIMIT 1
) newest
WHERE c.ctid = newest.ctid

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
