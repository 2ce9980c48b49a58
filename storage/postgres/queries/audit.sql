-- name: audit_begin
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: audit_log
SELECT count(*), count(*) FILTER (WHERE l.position > coalesce(c.position, 0))
FROM event_log l LEFT JOIN event_cursor c ON c.topic = l.topic AND c.consumer_group = $2 AND c.partition = l.partition
WHERE l.topic = $1

-- name: audit_outcomes
SELECT outcome, coalesce(reason, ''), count(*) FROM ledger_entry WHERE leg = 0 GROUP BY 1, 2

-- name: audit_sums
-- The sums of bigints are numerics, which do not overflow.
SELECT count(*), coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::text,
    coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::text, coalesce(sum(fee), 0)::text
FROM ledger_entry

-- name: audit_wallets
SELECT count(*), coalesce(sum(balance), 0)::text, coalesce(sum(opening_balance), 0)::text FROM registeredsafebox

-- name: audit_log_against_journal
-- Every log row at or below its cursor has a leg-0 entry or is parked, and not both; above it, neither.
SELECT CASE WHEN l.position > coalesce(c.position, 0) THEN 'processed_beyond_cursor'
            WHEN e.position IS NULL THEN 'event_lost' ELSE 'parked_and_processed' END,
    l.subject, 'event ' || l.id || ' of ' || l.source || ' at partition ' || l.partition || ', position ' || l.position
FROM event_log l
LEFT JOIN event_cursor c ON c.topic = l.topic AND c.consumer_group = $2 AND c.partition = l.partition
LEFT JOIN ledger_entry e ON e.partition = l.partition AND e.position = l.position AND e.leg = 0
LEFT JOIN parked_event p ON p.topic = l.topic AND p.consumer_group = $2 AND p.partition = l.partition AND p.position = l.position
WHERE l.topic = $1 AND CASE WHEN l.position > coalesce(c.position, 0)
    THEN e.position IS NOT NULL OR p.position IS NOT NULL
    ELSE (e.position IS NULL) = (p.position IS NULL) END
ORDER BY l.partition, l.position LIMIT $3

-- name: audit_journal_against_log
SELECT 'entry_without_event', e.subject,
    'leg ' || e.leg || ' at partition ' || e.partition || ', position ' || e.position
FROM ledger_entry e
WHERE NOT EXISTS (SELECT FROM event_log l WHERE l.topic = $1 AND l.partition = e.partition AND l.position = e.position)
    OR (e.leg > 0 AND NOT EXISTS (SELECT FROM ledger_entry z WHERE z.partition = e.partition AND z.position = e.position AND z.leg = 0))
ORDER BY e.partition, e.position, e.leg LIMIT $2

-- name: audit_chains
SELECT CASE WHEN npub IS NULL THEN 'entry_without_wallet' WHEN seq <> n THEN 'entry_number' ELSE 'entry_balance' END,
    subject,
    'entry ' || seq || ' (expected number ' || n || '): balance ' || balance || ', expected ' || (before + amount - fee)
FROM (
    SELECT e.subject, e.seq, e.amount::numeric, e.fee, e.balance, w.npub,
        row_number() OVER (PARTITION BY e.subject ORDER BY e.seq) AS n,
        lag(e.balance, 1, coalesce(w.opening_balance, 0)) OVER (PARTITION BY e.subject ORDER BY e.seq) AS before
    FROM ledger_entry e LEFT JOIN registeredsafebox w ON w.npub = e.subject
    WHERE e.seq IS NOT NULL
) chain
WHERE npub IS NULL OR seq <> n OR balance <> before + amount - fee
ORDER BY subject, seq LIMIT $1

-- name: audit_balances
-- A wallet that was adopted below zero may be there still, and never further down.
SELECT CASE WHEN w.balance <> w.opening_balance + coalesce(s.total, 0) THEN 'wallet_balance'
            WHEN w.entry_count <> coalesce(s.n, 0) THEN 'wallet_entry_count' ELSE 'wallet_range' END,
    w.npub,
    'balance ' || w.balance || ', its entries make ' || (w.opening_balance + coalesce(s.total, 0)) ||
    '; counts ' || w.entry_count || ' entries, has ' || coalesce(s.n, 0)
FROM registeredsafebox w
LEFT JOIN (
    SELECT subject, sum(amount::numeric - fee) AS total, count(*) AS n FROM ledger_entry WHERE seq IS NOT NULL GROUP BY subject
) s ON s.subject = w.npub
WHERE w.balance <> w.opening_balance + coalesce(s.total, 0) OR w.entry_count <> coalesce(s.n, 0)
    OR w.balance NOT BETWEEN least(0, w.opening_balance) AND 9007199254740991 OR w.opening_balance > 9007199254740991
ORDER BY w.npub LIMIT $1

-- name: audit_skips
-- What an operator gave up has to say who it was.
SELECT 'skip_without_operator', e.subject, 'partition ' || e.partition || ', position ' || e.position || ' was skipped, and nobody did it'
FROM ledger_entry e
WHERE e.reason = 'skipped' AND e.leg = 0 AND NOT EXISTS (
    SELECT 1 FROM parked_action a
    WHERE a.topic = $1 AND a.consumer_group = $2 AND a.subject = e.subject AND a.action = 'skip'
        AND e.position BETWEEN a.first_position AND a.last_position
)
ORDER BY e.partition, e.position LIMIT $3

-- name: audit_lines
-- An event without an entry comes once, with leg -1. OFFSET 0 keeps the probes apart, each on its index.
SELECT l.topic, l.partition, l.position, l.source, l.id, l.type, l.subject, l.time, l.data, l.metadata, l.recorded_at,
    coalesce(e.leg, -1), coalesce(e.subject, ''), coalesce(e.seq, 0), coalesce(e.type, ''), coalesce(e.outcome, ''),
    coalesce(e.reason, ''), coalesce(e.amount, 0), coalesce(e.fee, 0), coalesce(e.balance, 0), coalesce(e.at, l.time)
FROM (
    SELECT * FROM event_log WHERE topic = $1 AND partition = $2 AND position > $3 ORDER BY position LIMIT $4
) l LEFT JOIN LATERAL (
    SELECT * FROM ledger_entry WHERE partition = $2 AND position = l.position OFFSET 0
) e ON true
ORDER BY l.position, e.leg

-- name: audit_accounts
SELECT id, npub, handle, custom_handle, owner, home_relay, onboard_code, access_key, emergency_code, currency_code,
    balance, opening_balance, entry_count
FROM registeredsafebox WHERE npub > $1 ORDER BY npub LIMIT $2

-- name: audit_adopted
-- Wallets whose journal does not begin with their registration.
SELECT w.id, w.npub, w.handle, w.custom_handle, w.owner, w.home_relay, w.onboard_code, w.access_key, w.emergency_code, w.currency_code,
    w.balance, w.opening_balance, w.entry_count
FROM registeredsafebox w LEFT JOIN ledger_entry e ON e.subject = w.npub AND e.seq = 1
WHERE w.npub > $1 AND NOT (coalesce(e.type, '') = 'safebox.wallet.registered.v1' AND coalesce(e.outcome, '') = 'applied')
ORDER BY w.npub LIMIT $2

-- name: audit_rates
SELECT currency_code, coalesce(currency_rate, 0), refresh_time FROM currencyrate ORDER BY currency_code

-- name: audit_resolved
SELECT DISTINCT subject FROM parked_action WHERE topic = $1 AND consumer_group = $2
