-- name: load_balances
-- Not locked, nor are those of load_wallets: what a lane decides holds whatever others pay into these wallets meanwhile;
-- store_journal adds to that. Where someone holds a snapshot a wallet has many versions: they are looked at from the newest, as far
-- as the index has them in order, until one is visible. As an equality, the order by npub would be no order.
SELECT id, npub, balance, entry_count
FROM unnest($1::text[]) AS k (key) CROSS JOIN LATERAL (
    SELECT * FROM registeredsafebox WHERE npub >= k.key AND npub <= k.key ORDER BY npub DESC LIMIT 1
) w

-- name: load_wallets
SELECT id, npub, handle, custom_handle, owner, home_relay, onboard_code, access_key, emergency_code, currency_code,
    balance, opening_balance, entry_count
FROM unnest($1::text[]) AS k (key) CROSS JOIN LATERAL (
    SELECT * FROM registeredsafebox WHERE npub >= k.key AND npub <= k.key ORDER BY npub DESC LIMIT 1
) w

-- name: load_awaited
-- Of transfers to payees that are no wallets: those that were appended after the registration of their payee, where that is
-- in the log and was not processed when this statement began, or has become visible since the wallets were looked for.
-- What was appended first is told by the transactions' numbers: one is given out after the append began and before it was
-- acknowledged, so they go with what clients were told, and no clock that is set back disturbs them. Rows of one
-- transaction (of a restored dump they all are) are told apart by their times.
-- A parked registration is none of them: only its own wallet waits for it. OFFSET 0, ORDER BY and LIMIT 1 keep the probes
-- apart, each on its index, whatever the tables' statistics say.
SELECT k.partition, k.position
FROM unnest($3::integer[], $4::bigint[], $5::text[]) AS k (partition, position, payee)
CROSS JOIN LATERAL (
    SELECT recorded_at, age(xmin) FROM event_log
    WHERE topic = $1 AND partition = k.partition AND position >= k.position ORDER BY position LIMIT 1
) t
CROSS JOIN LATERAL (
    SELECT topic, subject, partition, position, recorded_at, age(xmin) FROM event_log
    WHERE type = 'safebox.wallet.registered.v1' AND subject = k.payee OFFSET 0
) r
CROSS JOIN LATERAL (
    SELECT position FROM event_cursor WHERE topic = $1 AND consumer_group = $2 AND partition = r.partition ORDER BY era DESC LIMIT 1
) c
WHERE r.topic = $1 AND (r.age, t.recorded_at) > (t.age, r.recorded_at)
    AND (r.position > c.position OR (SELECT 1 FROM registeredsafebox w WHERE w.npub = r.subject LIMIT 1) IS NOT NULL)

-- name: load_owners
SELECT 'handle', handle, npub FROM registeredsafebox WHERE handle = ANY ($1)
UNION ALL
SELECT 'custom_handle', custom_handle, npub FROM registeredsafebox WHERE custom_handle = ANY ($2)
UNION ALL
SELECT 'access_key', access_key, npub FROM registeredsafebox WHERE access_key = ANY ($3) AND access_key IS NOT NULL
UNION ALL
SELECT 'emergency_code', emergency_code, npub FROM registeredsafebox WHERE emergency_code = ANY ($4)

-- name: load_secrets
SELECT nwc_secret, npub FROM nwcsecret WHERE nwc_secret = ANY ($1)

-- name: load_quotes
-- OFFSET 0 keeps the probes apart: as one join, a table that grew since it was analysed would be read whole.
SELECT q.id, coalesce(q.npub, ''), q.handle, q.quote, q.amount, q.mint, q.paid
FROM unnest($1::text[]) AS k (quote) CROSS JOIN LATERAL (SELECT * FROM paymentquote p WHERE p.quote = k.quote OFFSET 0) q
ORDER BY q.id

-- name: load_nwc_events
SELECT event_id FROM nwcevent WHERE event_id = ANY ($1)

-- name: load_nonces
SELECT n.requester_pubkey, n.flow, n.nonce
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (requester_pubkey, flow, nonce)
CROSS JOIN LATERAL (
    SELECT * FROM nfcrequesternonce n WHERE n.nonce = k.nonce OFFSET 0
) n
WHERE n.requester_pubkey = k.requester_pubkey AND n.flow = k.flow

-- name: load_offers
SELECT nonce FROM receiveofferbootstrap WHERE nonce = ANY ($1)

-- name: load_rates
SELECT currency_code, refresh_time FROM currencyrate WHERE currency_code = ANY ($1) ORDER BY currency_code FOR NO KEY UPDATE

-- name: store_journal
-- Moves the wallets by what the batch made of them, in the order of their ids, so that two lanes never deadlock: it is that of
-- the index, by which alone settle_plans lets them be found. $1 is sorted, so width_bucket finds a wallet's place in it.
-- Entries are relative to what their wallet holds at the end of the batch, and are of its npub; they stand for themselves
-- without a wallet here (of an unknown one, or of one that this batch registers). Of type, outcome and reason there are few
-- in a batch: they come once each, and entries say which.
-- A refusal for want of funds that holds no longer, because another lane paid in since the wallet was loaded, divides by
-- zero: it would stand in the journal beside a balance that is enough. So does an entry of a wallet that someone deleted since.
-- The batch is then decided again. The answer is how long the moves took, which is waiting but for a millisecond.
WITH moved AS (
    UPDATE registeredsafebox SET balance = balance + ($2::bigint[])[width_bucket(id, $1::integer[])],
        entry_count = entry_count + ($3::bigint[])[width_bucket(id, $1::integer[])]
    WHERE id = ANY ($1::integer[])
    RETURNING id, npub, balance, entry_count
), stored AS (
    INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, reason, amount, fee, balance, at)
    SELECT e.partition, e.position, e.leg, coalesce(w.npub, e.subject), nullif(e.seq + coalesce(w.entry_count, 0), 0),
        ($16::text[])[e.kind], ($17::text[])[e.kind], nullif(($18::text[])[e.kind], ''), e.amount, e.fee,
        CASE WHEN e.wanted > 0 AND w.balance + e.balance >= e.wanted OR e.wallet > 0 AND w.id IS NULL THEN 1 / (0 * e.wanted)
            ELSE e.balance + coalesce(w.balance, 0) END, e.at
    FROM (
        SELECT unnest($4::integer[]) AS partition, unnest($5::bigint[]) AS position, unnest($6::smallint[]) AS leg, unnest($7::text[]) AS subject,
            unnest($8::integer[]) AS wallet, unnest($9::bigint[]) AS seq, unnest($10::smallint[]) AS kind, unnest($11::bigint[]) AS amount,
            unnest($12::bigint[]) AS fee, unnest($13::bigint[]) AS balance, unnest($14::bigint[]) AS wanted, unnest($15::timestamptz[]) AS at
    ) e LEFT JOIN moved w ON w.id = e.wallet
)
SELECT clock_timestamp() - statement_timestamp() FROM (SELECT count(*) FROM moved) AS m

-- name: store_registered
INSERT INTO registeredsafebox (handle, custom_handle, npub, home_relay, onboard_code, access_key, balance, owner,
    emergency_code, currency_code, opening_balance, entry_count)
SELECT handle, custom_handle, npub, home_relay, onboard_code, access_key, balance, owner, emergency_code, currency_code, 0, entry_count
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
    $10::text[], $11::bigint[])
    AS i (handle, custom_handle, npub, home_relay, onboard_code, access_key, balance, owner, emergency_code, currency_code, entry_count)

-- name: store_profiled
-- Sets what the events set, by the bits of ledger.Columns: wallets are loaded without a lock, and what another program has set
-- in the other columns since must stay.
UPDATE registeredsafebox w SET
    custom_handle = CASE WHEN i.changed & 1 > 0 THEN i.custom_handle ELSE w.custom_handle END,
    owner = CASE WHEN i.changed & 2 > 0 THEN i.owner ELSE w.owner END,
    home_relay = CASE WHEN i.changed & 4 > 0 THEN i.home_relay ELSE w.home_relay END,
    access_key = CASE WHEN i.changed & 8 > 0 THEN i.access_key ELSE w.access_key END,
    currency_code = CASE WHEN i.changed & 16 > 0 THEN i.currency_code ELSE w.currency_code END
FROM unnest($1::integer[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS i (id, changed, custom_handle, owner, home_relay, access_key, currency_code)
WHERE w.id = i.id AND w.id = ANY ($1)

-- name: store_created_quotes
INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub)
SELECT '', handle, quote, amount, mint, paid, npub
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[]) AS i (handle, quote, amount, mint, paid, npub)

-- name: store_settled_quotes
-- A quote that another program has settled since it was loaded divides by zero, as in store_journal: it would be credited twice.
WITH settled AS (UPDATE paymentquote SET paid = true WHERE id = ANY ($1::integer[]) AND NOT paid RETURNING id)
SELECT 1 / (count(*) = cardinality($1))::integer FROM settled

-- name: clear_secrets
DELETE FROM nwcsecret WHERE npub = ANY ($1)

-- name: store_secrets
INSERT INTO nwcsecret (nwc_secret, npub) SELECT * FROM unnest($1::text[], $2::text[])

-- name: store_nwc_events
INSERT INTO nwcevent (event_id) SELECT * FROM unnest($1::text[])

-- name: store_nonces
INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamp[])

-- name: store_offers
INSERT INTO receiveofferbootstrap (nonce, nauth, grant_kind, offer_kind, host, label, created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::text[], $6::text[], $7::timestamp[])

-- name: store_rates
UPDATE currencyrate c SET currency_rate = i.rate, refresh_time = i.refresh_time
FROM unnest($1::text[], $2::float8[], $3::timestamp[]) AS i (code, rate, refresh_time)
WHERE c.currency_code = i.code
