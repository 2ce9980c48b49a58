-- name: wallet_by_key
-- The npub wins over the handle, the handle over the custom handle.
SELECT npub, handle, custom_handle, owner, home_relay, currency_code, balance, opening_balance, entry_count
FROM registeredsafebox WHERE npub = $1 OR handle = $1 OR custom_handle = $1
ORDER BY npub = $1 DESC, handle = $1 DESC LIMIT 1

-- name: wallets
SELECT npub, handle, custom_handle, owner, home_relay, currency_code, balance, opening_balance, entry_count
FROM registeredsafebox WHERE npub > $1 ORDER BY npub LIMIT $2

-- name: entries
SELECT partition, position, leg, subject, coalesce(seq, 0), type, outcome, coalesce(reason, ''), amount, fee, balance, at
FROM ledger_entry WHERE subject = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: entries_without_seq
SELECT partition, position, leg, subject, coalesce(seq, 0), type, outcome, coalesce(reason, ''), amount, fee, balance, at
FROM ledger_entry WHERE subject = $1 AND seq IS NULL ORDER BY partition, position LIMIT $2

-- name: entries_at
SELECT partition, position, leg, subject, coalesce(seq, 0), type, outcome, coalesce(reason, ''), amount, fee, balance, at
FROM ledger_entry WHERE partition = $1 AND position = $2 ORDER BY leg

-- name: parked
SELECT p.topic, p.consumer_group, p.partition, p.position, l.source, l.id, l.type, p.subject, p.error, p.attempts, p.parked_at
FROM parked_event p JOIN event_log l USING (topic, partition, position)
WHERE p.topic = $1 AND p.consumer_group = $2 AND ($3 = '' OR p.subject = $3) AND (p.partition, p.position) > ($4, $5)
ORDER BY p.partition, p.position LIMIT $6

-- name: parked_at
SELECT p.topic, p.consumer_group, p.partition, p.position, l.source, l.id, l.type, p.subject, p.error, p.attempts, p.parked_at
FROM parked_event p JOIN event_log l USING (topic, partition, position)
WHERE p.topic = $1 AND p.consumer_group = $2 AND p.partition = $3 AND p.position = $4

-- name: parked_subjects
SELECT partition, subject, count(*)
FROM parked_event WHERE topic = $1 AND consumer_group = $2 AND (partition, subject) > ($3, $4)
GROUP BY partition, subject ORDER BY partition, subject LIMIT $5

-- name: parked_actions
SELECT topic, consumer_group, subject, number, action, actor, reason, first_position, last_position, events, error, at
FROM parked_action WHERE topic = $1 AND consumer_group = $2 AND ($3 = '' OR subject = $3)
ORDER BY at DESC, subject, number DESC LIMIT $4

-- name: parked_count
SELECT count(*), count(DISTINCT subject) FROM parked_event WHERE topic = $1 AND consumer_group = $2

-- name: oldest_pending
SELECT min(l.recorded_at)
FROM generate_series(0, 63) AS p (partition) CROSS JOIN LATERAL (
    SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = p.partition ORDER BY era DESC LIMIT 1
) c CROSS JOIN LATERAL (
    SELECT recorded_at FROM event_log
    WHERE topic = $1 AND partition = p.partition AND position > c.position
    ORDER BY position LIMIT 1
) l

-- name: beat
-- Rows of replicas that were killed are swept by those that live.
WITH swept AS (DELETE FROM safebox_replica WHERE seen_at < now() - interval '1 day' AND instance <> $1)
INSERT INTO safebox_replica (instance, version, since, seen_at, lanes, state, leader)
VALUES ($1, $2, now(), now(), $3, $4, $5)
ON CONFLICT (instance) DO UPDATE
SET version = excluded.version, seen_at = excluded.seen_at, lanes = excluded.lanes, state = excluded.state, leader = excluded.leader

-- name: leave
DELETE FROM safebox_replica WHERE instance = $1

-- name: replicas
SELECT instance, version, since, seen_at, lanes, state, leader
FROM safebox_replica WHERE seen_at > now() - $1::interval ORDER BY since, instance

-- The connections of each worker as the server sees them; the name of an instance is cut where the server cuts it.
-- name: connections
SELECT substr(application_name, length('safebox/worker/') + 1) AS instance, count(*), count(*) FILTER (WHERE state <> 'idle')
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'safebox/worker/%'
GROUP BY instance;
