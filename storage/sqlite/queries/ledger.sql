-- name: load_balances
SELECT id, npub, balance, entry_count FROM registeredsafebox WHERE npub IN (SELECT value FROM json_each(?1))

-- name: load_wallets
SELECT id, npub, handle, custom_handle, owner, home_relay, onboard_code, access_key, emergency_code, currency_code,
    balance, opening_balance, entry_count
FROM registeredsafebox WHERE npub IN (SELECT value FROM json_each(?1))

-- name: load_awaited
-- Of transfers to payees that are no wallets: those that were appended after the registration of their payee, where that is
-- in the log and not processed. The times of recording grow from append to append.
-- A parked registration is none of them: only its own wallet waits for it.
SELECT t.partition, t.position
FROM json_each(?3) AS k
CROSS JOIN event_log t ON t.topic = ?1 AND t.partition = k.value ->> 0 AND t.position = k.value ->> 1
CROSS JOIN event_log r INDEXED BY event_log_registration
CROSS JOIN event_cursor c ON c.topic = ?1 AND c.consumer_group = ?2 AND c.partition = r.partition
WHERE r.type = 'safebox.wallet.registered.v1' AND r.subject = k.value ->> 2 AND r.topic = ?1 AND r.position > c.position
    AND r.recorded_at < t.recorded_at

-- name: load_owners
SELECT 'handle', handle, npub FROM registeredsafebox WHERE handle IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT 'custom_handle', custom_handle, npub FROM registeredsafebox WHERE custom_handle IN (SELECT value FROM json_each(?2))
UNION ALL
SELECT 'access_key', access_key, npub FROM registeredsafebox WHERE access_key IN (SELECT value FROM json_each(?3)) AND access_key IS NOT NULL
UNION ALL
SELECT 'emergency_code', emergency_code, npub FROM registeredsafebox WHERE emergency_code IN (SELECT value FROM json_each(?4))

-- name: load_secrets
SELECT nwc_secret, npub FROM nwcsecret WHERE nwc_secret IN (SELECT value FROM json_each(?1))

-- name: load_quotes
SELECT id, coalesce(npub, ''), handle, quote, amount, mint, paid FROM paymentquote
WHERE quote IN (SELECT value FROM json_each(?1)) ORDER BY id

-- name: load_nwc_events
SELECT event_id FROM nwcevent WHERE event_id IN (SELECT value FROM json_each(?1))

-- name: load_nonces
SELECT requester_pubkey, flow, nonce FROM nfcrequesternonce
WHERE (requester_pubkey, flow, nonce) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))

-- name: load_offers
SELECT nonce FROM receiveofferbootstrap WHERE nonce IN (SELECT value FROM json_each(?1))

-- name: load_rates
SELECT currency_code, CAST(refresh_time AS TEXT) FROM currencyrate WHERE currency_code IN (SELECT value FROM json_each(?1))

-- name: store_registered
INSERT INTO registeredsafebox (handle, custom_handle, npub, home_relay, onboard_code, access_key, balance, owner,
    emergency_code, currency_code, opening_balance, entry_count)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)

-- name: store_moved
UPDATE registeredsafebox SET balance = ?2, entry_count = ?3 WHERE id = ?1

-- name: store_profiled
UPDATE registeredsafebox SET custom_handle = ?2, owner = ?3, home_relay = ?4, access_key = ?5, currency_code = ?6 WHERE id = ?1

-- name: store_created_quotes
INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub) VALUES ('', ?1, ?2, ?3, ?4, ?5, ?6)

-- name: store_settled_quotes
UPDATE paymentquote SET paid = 1 WHERE id = ?1

-- name: clear_secrets
DELETE FROM nwcsecret WHERE npub = ?1

-- name: store_secrets
INSERT INTO nwcsecret (nwc_secret, npub) VALUES (?1, ?2)

-- name: store_nwc_events
INSERT INTO nwcevent (event_id) VALUES (?1)

-- name: store_nonces
INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: store_offers
INSERT INTO receiveofferbootstrap (nonce, nauth, grant_kind, offer_kind, host, label, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: store_rates
UPDATE currencyrate SET currency_rate = ?2, refresh_time = ?3 WHERE currency_code = ?1

-- name: store_entries
INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, reason, amount, fee, balance, at)
VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7, nullif(?8, ''), ?9, ?10, ?11, ?12)
